// How a run ended, at a glance: three numbers, and the verdict's sentence.
import {el} from "./dom.mjs";
const STATES = {preparing: "Preparing a database of its own …", running: "Running …",
                checking: "All buyers have their answers. Checking the database …",
                cancelled: "The run was cancelled."};

export class Outcome {
    constructor() {
        const number = (name, label) => {
            this[name] = el("dd");
            this[`${name}Label`] = el("dt", {}, label);
            return el("div", {}, this[`${name}Label`], this[name]);
        };
        this.numbers = el("dl", {class: "numbers"}, number("before", "Units at the start"), number("sold", "Sold"),
            number("rest", "Left"));
        this.sentence = el("p", {class: "sentence"});
        this.proof = el("details", {hidden: true}, el("summary"), el("ul"));
        this.element = el("div", {class: "outcome", hidden: true}, this.numbers, this.sentence, this.proof);
    }

    // What the numbers are called depends on the scenario.
    show({view}, scenario) {
        const {verdict, counts} = view;
        const harm = isHarmed(view);
        const numbers = measure(view, scenario);
        for (const [i, name] of ["before", "sold", "rest"].entries()) {
            this[`${name}Label`].textContent = numbers[i][0];
            this[name].textContent = numbers[i][1];
        }
        this.element.classList.toggle("harmed", harm);
        this.element.classList.toggle("unharmed", verdict !== null && !harm);
        this.sentence.textContent = verdict !== null ? `${harm ? "✗" : "✓"} ${verdict.sentence}` :
            view.state === "failed" ? `The run failed: ${view.why}` :
            `${STATES[view.state]} ${counts.answered} of ${counts.buyers} buyers have an answer.`;
        this.#prove(verdict);
        this.element.hidden = false;
    }

    #prove(verdict) {
        const [summary, list] = this.proof.children;
        this.proof.hidden = verdict === null || verdict.violations === 0;
        if (this.proof.hidden)
            return;
        const shown = verdict.findings.length, first = shown < verdict.violations ? `, ${shown} of them` : "";
        summary.textContent = `What the check of the database found: ${verdict.violations} ` +
            `contradiction${verdict.violations === 1 ? "" : "s"}${first}`;
        list.replaceChildren(...verdict.findings.map(({check, where, what}) =>
            el("li", {}, el("code", {}, check), ` at ${where}: ${what}`)));
    }
}

export const isHarmed = ({verdict}) => verdict !== null && (verdict.violations > 0 || verdict.excess > 0);

const isPoints = ({counter}) => counter.startsWith("points/");

// The number that a visitor guesses.
export const result = ({verdict}, scenario) => isPoints(scenario) ? verdict.remaining : verdict.sold;

export function question(scenario) {
    return isPoints(scenario) ? "How many points will all accounts have at the end?" : `How many will be ${scenario.verb}?`;
}

// Three numbers, with labels.
function measure({verdict, counts, remaining, settings}, scenario) {
    if (isPoints(scenario)) {
        const off = verdict ? verdict.remaining - verdict.units : 0;
        return [["Points at the start", verdict?.units ?? "…"], ["Points now", verdict?.remaining ?? "…"],
                [off < 0 ? "Too few" : "Too many", Math.abs(off)]];
    }
    const units = verdict?.units ?? settings.units;
    const sold = verdict?.sold ?? counts.accepted;
    return [[units === settings.units ? "Units at the start" : "Right would be", units],
            [scenario.verb[0].toUpperCase() + scenario.verb.slice(1), sold],
            verdict?.excess > 0 ? ["Too many", verdict.excess] : ["Left in the database", verdict?.remaining ?? remaining]];
}

// A table of every buyer of a run, a page at a time. It says what the overview draws.
export class Everyone {
    #page = 0;

    constructor() {
        this.body = el("tbody");
        this.where = el("span");
        const turn = by => el("button", {type: "button", click: () => this.#turn(by)}, by < 0 ? "Previous 50" : "Next 50");
        this.element = el("details", {hidden: true, toggle: () => this.#draw()},
            el("summary", {}, "All buyers as a table"),
            el("div", {class: "row"}, turn(-1), turn(1), this.where),
            el("div", {class: "wide tall", role: "region", "aria-label": "All buyers", tabindex: 0},
                el("table", {}, el("thead", {}, el("tr", {}, ["Buyer", "Sends at (ms)", "Inside at (ms)", "Reads", "Saves",
                    "Answered at (ms)", "Answer"].map(head => el("th", {scope: "col"}, head)))), this.body)));
    }

    show(run) {
        this.run = run;
        this.#page = 0;
        this.element.hidden = false;
        this.#draw();
    }

    #turn(by) {
        const last = Math.ceil(this.run.size / 50) - 1;
        this.#page = Math.max(0, Math.min(last, this.#page + by));
        this.#draw();
    }

    #draw() {
        if (!this.element.open || this.run === undefined)
            return;
        const from = this.#page * 50;
        const to = Math.min(from + 50, this.run.size);
        const rows = Array.from({length: to - from}, () => ({}));
        for (const [, t_us, actor, step, version, left, rc] of this.run.events) {
            const row = rows[actor - from];
            if (row === undefined)
                continue;
            row[step] = step === "read" || step === "save" ? `version ${version}, ${left} left` : (t_us / 1000).toFixed(2);
            if (step === "answer")
                row.rc = rc;
        }
        this.where.textContent = `Rows ${from + 1} to ${to} of ${this.run.size}`;
        this.body.replaceChildren(...rows.map((row, i) => el("tr", {}, el("th", {scope: "row"}, this.run.name(from + i)),
            ["submit", "lock", "read", "save", "answer", "rc"].map(step => el("td", {}, row[step])))));
    }
}
