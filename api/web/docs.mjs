// The page /docs: Swagger UI draws the API's description. A build without npm has no Swagger UI; then
// the page says so.
import {el, say} from "./dom.mjs";

const place = document.getElementById("description");
const dark = matchMedia("(prefers-color-scheme: dark)");

// Adds an element to the head; resolves when it has loaded.
function load(tag, attributes) {
    return new Promise((resolve, reject) => document.head.append(
        el(tag, {...attributes, load: resolve, error: reject})));
}

// Swagger UI does not look at the browser's scheme; it is dark below an element of this class.
function followScheme() {
    document.documentElement.classList.toggle("dark-mode", dark.matches);
}

// Swagger UI's own layout takes itself for the whole page: it has a main element, and a list of servers of
// which this service is the only one. So the parts are arranged here.
function layout({React: {createElement}}) {
    function Description({getComponent}) {
        const part = name => createElement(getComponent(name, true));
        return createElement("div", {className: "swagger-ui"},
            createElement(getComponent("SvgAssets")), part("InfoContainer"), part("errors"),
            createElement("h2", {}, "Calls"), part("AuthorizeBtnContainer"), part("operations"));
    }
    return {components: {Description}};
}

// Some of Swagger UI's fields have no name that a screen reader could say.
function nameFields() {
    for (const field of place.querySelectorAll("select.examples-select-element:not([aria-label])"))
        field.setAttribute("aria-label", "Example");
    for (const field of place.querySelectorAll("textarea:not([aria-label])"))
        field.setAttribute("aria-label", "Body");
}

try {
    await Promise.all([load("script", {src: "/web/swagger-ui-bundle.js"}),
                       load("link", {rel: "stylesheet", href: "/web/swagger-ui.css"})]);
    followScheme();
    dark.addEventListener("change", followScheme);
    new MutationObserver(nameFields).observe(place, {childList: true, subtree: true});
    SwaggerUIBundle({
        url: "/openapi.yaml",
        domNode: place,
        docExpansion: "none",
        validatorUrl: null,
        layout: "Description",
        plugins: [layout],
    });
} catch {
    place.append(el("p", {class: "note"},
        "This service was built without npm, so it cannot draw the description. Read ",
        el("a", {href: "/openapi.yaml"}, "openapi.yaml"), ", or install npm and build again: ",
        el("code", {}, "./dev run"), "."));
    say("The description cannot be drawn here.");
}
