"""The scenes of a run, in their order. A scene is a function of the stack; what it returns is what it has
proven, in a line, and what it raises is what went wrong."""

scenes = {}


def scene(name):
    """Registers the function below as the scene of this name."""
    def register(act):
        scenes[name] = act
        return act
    return register
