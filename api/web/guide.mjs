// A page of the guide lets the reader run its hazard: once without protection, once with it.
import {el, say} from "./dom.mjs";
import {enter, refused} from "./gate.mjs";
import {Outcome} from "./outcome.mjs";
import {Run} from "./run.mjs";
import {toFragment} from "./settings.mjs";
import {Timeline} from "./timeline.mjs";

const name = document.querySelector("[data-scenario]")?.dataset.scenario;

// Stands below the article's heading "Run it", or at the end.
function place() {
    const main = document.getElementById("main");
    const heading = [...main.querySelectorAll("h2")].find(({textContent}) => textContent.trim() === "Run it");
    const box = el("section", {class: "demo", "aria-label": "Run it here"});
    if (heading === undefined)
        main.append(box);
    else
        heading.after(box);
    return box;
}

async function main() {
    const gate = el("div"), trouble = el("div");
    const outcome = new Outcome();
    const timeline = new Timeline({heading: "h3"});
    const box = place();
    box.append(gate);
    const {scenarios} = await enter(gate);
    const known = scenarios.find(({scenario}) => scenario === name);
    if (known === undefined)
        return;

    const buttons = [["harmful", "Run without protection"], ["safe", "Run with it"]].map(([preset, text]) =>
        el("button", {type: "button", click: () => start(preset)}, text));
    const link = el("a", {href: `/lab${toFragment(known.harmful)}`}, "Change the settings in the lab");
    box.append(el("div", {class: "row"}, buttons, link), trouble, outcome.element, timeline.element);

    async function start(preset) {
        trouble.replaceChildren();
        buttons.forEach(button => { button.disabled = true; });
        link.href = `/lab${toFragment({...known[preset], scenario: name})}`;
        try {
            timeline.clear();
            const run = await Run.start({...known[preset], scenario: name});
            say("The run has started.");
            await run.follow(() => outcome.show(run, known));
            say(run.view.verdict?.sentence ?? `The run has ended: ${run.view.state}.`);
            await timeline.show(run);
        } catch (error) {
            await refused(trouble, error, () => start(preset));
        } finally {
            buttons.forEach(button => { button.disabled = false; });
        }
    }
}

if (name)
    main();
