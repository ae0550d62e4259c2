// The page /: health, the strategies in force, and whether the laboratory is open.
import {el, say} from "./dom.mjs";
import {api, tokenForm} from "./http.mjs";

const HEALTH_PAUSE_MS = 5000;
const NOUNS = {stock: "products", coupon: "coupons", lottery: "lotteries", points: "points",
               reservation: "reservations", order: "orders"};
const SCOPES = {nothing: "nothing", process: "this instance only", cluster: "all instances"};

function describeHealth({status, body}) {
    if (status === 0 || body?.endpoints === undefined)
        return ["bad", "No answer. Is the service running?"];
    if (body.draining)
        return ["warn", "Shutting down: it finishes what has begun."];
    const failed = Object.entries(body.endpoints).filter(([, state]) => !state.ok)
        .map(([endpoint, state]) => `${NOUNS[endpoint] ?? endpoint} (${state.backend}: ${state.why})`);
    if (failed.length === 0)
        return ["good", "Healthy: everything can be served."];
    return [body.ready ? "warn" : "bad",
            `${body.ready ? "Healthy in part" : "Not healthy"}. It cannot serve ${failed.join(", ")}.`];
}

async function showHealth() {
    const place = document.getElementById("health");
    const [kind, sentence] = describeHealth(await api("GET", "/readyz"));
    if (place.textContent !== sentence)
        say(sentence);
    place.className = `note ${kind}`;
    place.textContent = sentence;
}

async function showStrategies() {
    const {status, body} = await api("GET", "/v1/strategies");
    if (status === 401)
        askForToken();
    if (status !== 200)
        return;
    const inForce = body.strategies.filter(({name}) => Object.values(body.endpoints).includes(name));
    document.querySelector("#strategies dl").replaceChildren(...inForce.flatMap(({name, summary, scope}) => {
        const nouns = Object.entries(body.endpoints).filter(([, its]) => its === name).map(([endpoint]) => NOUNS[endpoint]);
        return [el("dt", {}, el("code", {}, name), ` for ${nouns.join(", ")}`),
                el("dd", {}, summary, " It protects across ", el("strong", {}, SCOPES[scope]), ".")];
    }));
    document.getElementById("strategies").hidden = false;
}

async function showLaboratory() {
    const {status} = await api("GET", "/v1/lab/runs");
    const place = document.getElementById("laboratory");
    if (status === 200)
        place.replaceChildren("The laboratory is open here.");
    else if (status === 404)
        place.replaceChildren("The laboratory is closed here. On your own machine, ", el("code", {}, "./dev run"), " opens it.");
}

// Shows what may need the token.
function showRest() {
    document.getElementById("gate").replaceChildren();
    showStrategies();
    showLaboratory();
}

function askForToken() {
    document.getElementById("gate").replaceChildren(tokenForm(showRest));
}

showHealth();
setInterval(() => document.hidden || showHealth(), HEALTH_PAUSE_MS);
showRest();
