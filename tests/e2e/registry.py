"""The scenes of a run, in order. A scene is a function of the stack. It returns one line, what it proved, or
raises what went wrong."""

scenes = {}


def scene(name):
    """Registers the function below as the scene of this name."""
    def register(act):
        scenes[name] = act
        return act
    return register
