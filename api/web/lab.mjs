// The page of the laboratory. Its first tab runs a crowd; the second (scheduler.mjs) lets the visitor
// choose each step. All settings stand in the address's fragment, so a link has them.
import {el, say} from "./dom.mjs";
import {Crowd} from "./crowd.mjs";
import {showDifference} from "./diff.mjs";
import {enter, refused} from "./gate.mjs";
import {loadLines} from "./lines.mjs";
import {Everyone, Outcome, question, result} from "./outcome.mjs";
import {Run, TIME} from "./run.mjs";
import {Scheduler} from "./scheduler.mjs";
import {Controls, NAMES, fromFragment, labelOf, toFragment} from "./settings.mjs";
import {Timeline} from "./timeline.mjs";

const $ = id => document.getElementById(id);

class Lab {
    #scenario;
    #run = null;
    #runs = []; // that have ended, with their views

    constructor({strategies, scenarios}) {
        Object.assign(this, {strategies, scenarios});
        this.controls = new Controls(strategies, () => this.#changed());
        this.outcome = new Outcome();
        this.crowd = new Crowd();
        this.everyone = new Everyone();
        this.timeline = new Timeline({moved: event => this.crowd.mark(event && event[TIME])});
        $("controls").append(this.controls.element);
        $("outcome").append(this.outcome.element);
        $("overview").append(this.crowd.legend, this.crowd.element, this.crowd.about, this.everyone.element);
        $("timeline").append(this.timeline.element);
        $("scenario").append(...scenarios.map(({scenario, title}) => el("option", {value: scenario}, title)));

        $("scenario").addEventListener("change", () => this.#preset($("scenario").value, "harmful"));
        for (const preset of ["harmful", "safe"])
            $(preset).addEventListener("click", () => this.#preset(this.#scenario.scenario, preset));
        $("setup").addEventListener("submit", event => {
            event.preventDefault();
            this.#start();
        });
        $("cancel").addEventListener("click", () => this.#run.cancel());
        $("copy-link").addEventListener("click", () => copy(location.href, $("copy-link")));
        for (const button of document.querySelectorAll("[data-copy]"))
            button.addEventListener("click", () => copy($(button.dataset.copy).textContent, button));
    }

    // Takes the settings of a link. What it leaves out comes from the preset without protection.
    open({scenario, ...rest}) {
        this.#choose(scenario);
        this.controls.set({...this.#scenario.harmful, ...rest});
        this.controls.more.open ||= NAMES.some(name => name in rest && rest[name] !== this.#scenario.harmful[name]);
        this.#describe();
    }

    get fragment() { return toFragment({scenario: this.#scenario.scenario, ...this.controls.get()}); }

    #choose(name) {
        this.#scenario = this.scenarios.find(({scenario}) => scenario === name) ?? this.scenarios[0];
        const {scenario, summary} = this.#scenario;
        $("scenario").value = scenario;
        $("scenario-summary").textContent = summary;
        $("guess-label").textContent = question(this.#scenario);
        this.controls.offer(this.#scenario);
        $("scenario-guide").href = `/guide/${scenario}`;
        $("guide-fix").href = `/guide/${scenario}`;
    }

    #preset(scenario, preset) {
        this.#choose(scenario);
        this.controls.set(this.#scenario[preset]);
        this.#changed();
        say(`Settings ${preset === "safe" ? "with" : "without"} protection: strategy ${this.controls.get().strategy}.`);
    }

    #changed() {
        history.replaceState(null, "", this.fragment);
        this.#describe();
    }

    // What follows from the settings without a run: the SQL and the lines for the load tester.
    #describe() {
        const settings = this.controls.get();
        const name = settings.strategy === "none" ? this.#scenario.safe.strategy : settings.strategy;
        const [none, chosen] = ["none", name].map(wanted =>
            this.strategies.find(({strategy}) => strategy === wanted));
        $("sql-name").textContent = name;
        showDifference($("sql-none"), $("sql-chosen"), sqlOf(none), sqlOf(chosen));
        $("sql-same").hidden = sqlOf(none) !== sqlOf(chosen);
        $("sql-weak").hidden = settings.lock === "none" && (settings.fence || !sqlOf(chosen).includes(":token"));
        $("sql-summary").textContent = chosen?.summary ?? "";
        $("essay").href = `/guide/${name.replaceAll("-", "_")}`;
        const lines = loadLines(this.#scenario.scenario, settings);
        $("serve-line").textContent = lines.serve;
        $("load-line").textContent = lines.load;
        $("load-note").textContent = lines.note;
    }

    async #start() {
        $("refused").replaceChildren();
        $("run").disabled = true;
        const guess = $("guess").value;
        try {
            this.#run = await Run.start({scenario: this.#scenario.scenario, ...this.controls.get(), manual: false});
            say("The run has started.");
            await this.#watch(guess);
        } catch (error) {
            await refused($("refused"), error, () => this.#start());
        } finally {
            $("run").disabled = false;
            $("cancel").disabled = true;
        }
    }

    async #watch(guess) {
        const run = this.#run;
        const scenario = this.#scenario;
        $("cancel").disabled = false;
        $("result").hidden = false;
        $("guessed").textContent = guess === "" ? "" : `Your guess: ${guess}.`;
        this.timeline.clear();
        this.everyone.element.hidden = true;
        this.crowd.show(run);
        await run.follow(() => {
            this.outcome.show(run, scenario);
            this.crowd.grow();
        });
        const {state, verdict, why} = run.view;
        if (verdict !== null && guess !== "")
            $("guessed").textContent = judge(Number(guess), result(run.view, scenario));
        say([verdict?.sentence ?? `The run has ended: ${state}. ${why ?? ""}`, $("guessed").textContent].join(" "));
        this.everyone.show(run);
        this.#runs.push({run, scenario});
        this.#compare();
        await this.timeline.show(run);
    }

    #compare() {
        const differ = NAMES.filter(name => name !== "strategy" && name !== "units" &&
            new Set(this.#runs.map(({run}) => String(run.settings[name]))).size > 1);
        $("history").hidden = false;
        $("runs").replaceChildren(...this.#runs.map(({run: {view, settings, retries}, scenario}, i) => {
            const number = text => el("td", {class: "number"}, text);
            return el("tr", {}, el("th", {scope: "row"}, i + 1),
                el("td", {}, scenario.title),
                el("td", {}, settings.strategy),
                el("td", {}, differ.map(name => `${labelOf(name)}: ${said(settings[name])}`).join(", ")),
                number(settings.units), number(view.verdict ? result(view, scenario) : view.state), number(view.verdict?.excess),
                number(retries), number(`${Math.round(view.elapsed_us / 1000)} ms`));
        }));
    }
}

const said = value => ({true: "yes", false: "no"})[value] ?? value;

// The statement that saves, in lines.
const sqlOf = strategy => (strategy?.sql ?? "").replace(/ (SET|WHERE|AND) /g, "\n  $1 ");

function judge(guess, sold) {
    const off = Math.abs(guess - sold);
    return guess === sold ? `Your guess was right: ${sold}.` :
        `Your guess was ${guess}: ${off} too ${guess < sold ? "few" : "many"}.`;
}

async function copy(text, button) {
    const before = button.textContent;
    try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
        say("Copied.");
    } catch {
        button.textContent = "The browser forbids it";
    }
    setTimeout(() => { button.textContent = before; }, 2000);
}

// The tabs, by the pattern of the ARIA Authoring Practices. `chosen` is called with a panel's id.
function tabs(chosen) {
    const all = [...document.querySelectorAll("[role=tab]")];
    const choose = tab => {
        for (const other of all) {
            const on = other === tab;
            other.setAttribute("aria-selected", on);
            other.tabIndex = on ? 0 : -1;
            $(other.getAttribute("aria-controls")).hidden = !on;
        }
    };
    for (const [i, tab] of all.entries()) {
        const go = to => {
            choose(to);
            to.focus();
            chosen(to.getAttribute("aria-controls"));
        };
        tab.addEventListener("click", () => go(tab));
        tab.addEventListener("keydown", event => {
            const next = all[(i + 1) % all.length];
            const to = {ArrowLeft: all.at(i - 1), ArrowRight: next, Home: all[0], End: all.at(-1)}[event.key];
            if (to !== undefined) {
                event.preventDefault();
                go(to);
            }
        });
    }
    return id => choose(all.find(tab => tab.getAttribute("aria-controls") === id));
}

async function main() {
    const description = await enter($("gate"));
    const lab = new Lab(description);
    const scheduler = new Scheduler(description, $("scheduler"));
    const show = tabs(id => history.replaceState(null, "", id === "scheduler" ? scheduler.fragment : lab.fragment));
    const open = () => {
        if (location.hash === "#main")
            return; // the link that skips to the content
        const {tab, ...settings} = fromFragment(location.hash);
        const second = tab === "scheduler";
        (second ? scheduler : lab).open(settings);
        show(second ? "scheduler" : "crowd");
    };
    addEventListener("hashchange", open);
    $("lab").hidden = false;
    lab.open({});
    scheduler.open({});
    open();
}

main();
