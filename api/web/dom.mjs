// Builds the pages' elements. Text goes in as text, never as HTML.

// An element. An attribute whose value is a function listens to the event of that name; true is an empty
// attribute; false, null and undefined leave it out. Children are nodes, texts, or lists of them.
//
//     el("button", {type: "button", class: "primary", click: run}, "Run")
export function el(tag, attributes = {}, ...children) {
    return build(document.createElement(tag), attributes, children);
}

// The same for an element of a drawing.
export function svg(tag, attributes = {}, ...children) {
    return build(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function build(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
        if (typeof value === "function")
            node.addEventListener(name, value);
        else if (value === true)
            node.setAttribute(name, "");
        else if (value !== false && value != null)
            node.setAttribute(name, value);
    }
    node.append(...children.flat(Infinity).filter(child => child !== false && child != null));
    return node;
}

// Has a screen reader say a sentence, when it has finished what it is saying.
export function say(text) {
    document.getElementById("live").textContent = text;
}
