// The second tab of the laboratory: the visitor decides which of two or three buyers makes the next step.
//
// The steps are made on a manual run in the server, so what the page shows is what the database did. Undo
// starts the run again and repeats all steps but the last.
import {el, say} from "./dom.mjs";
import {refused} from "./gate.mjs";
import {Outcome} from "./outcome.mjs";
import {ACTOR, RC, REMAINING, Run, STEP, VERSION, isLive, sentence} from "./run.mjs";
import {hasLock, offerStrategies, toFragment} from "./settings.mjs";
import {Timeline} from "./timeline.mjs";

const NAMES = ["A", "B", "C"];
const name = actor => NAMES[actor] ?? String(actor);

// What the next step does of a buyer whose last event was this. A strategy with a lock has more stops.
const NEXT = {
    locked: {"": "sends and enters", lock: "reads", read: "saves", expired: "saves", leave: "saves", save: "leaves"},
    late: {"": "sends and reads", read: "locks and saves", lock: "saves", save: "leaves"}, // lock: check-first
    free: {"": "sends and decides", submit: "saves", lock: "saves", read: "saves", leave: "saves", save: "leaves"},
};
const FOR_THREE = ["foreign-unlock"];           // the third buyer enters
const FOR_ALL = ["sent-twice", "lost-answer"]; // what is too many is not a matter of units

const POLL_MS = 200;
const PATIENCE = 20; // tenths of a second until a step that cannot be made is left out

const STATE = {
    read: "Has read, and has not saved.",
    save: "Has saved, and still has its lock.",
    leave: "Has given its lock back, and has not saved.",
    expired: "Has lost its lock, and does not know it.",
};
const GOALS = {
    "lost-update": "Can you sell the last unit twice?",
    "two-draws": "Can one user draw more often than allowed?",
    "too-many-coupons": "Can you issue one coupon more than there are?",
    "opposite-order": "Can you make points appear, or vanish?",
    "expired-lock": "Can a buyer save after its lock has expired?",
    "foreign-unlock": "Can one buyer release the lock of another?",
    "unlock-before-commit": "Can a buyer read before the other’s save is committed?",
    "check-outside-lock": "Can both buyers pass the check before either of them takes the lock?",
    "sent-twice": "Can you sell two units for one request that was sent twice?",
    "lost-answer": "Can you deduct twice because an answer was lost?",
    "two-instances": "Can the buyers of two instances read the same number?",
    "late-confirm": "Can you sell a unit whose reservation has expired, and sell it again?",
    "refunded-twice": "Can you pay the same money back twice?",
};

export class Scheduler {
    #run = null;
    #steps = [];
    #busy = false;
    #looking = null; // a promise: a request of #look that is under way
    #timer = 0;
    #decided = new Set(); // actors whose last step has led to the same stop: a refusal inside the lock, a save in vain

    constructor({strategies, scenarios}, place) {
        Object.assign(this, {scenarios, strategies, place});
        const field = (label, input, help) => el("div", {class: "field"},
            el("label", {}, label, input), help && el("p", {class: "soft"}, help));
        const changed = () => this.#again([]);
        this.scenario = el("select", {change: () => this.#takeScenario()},
            scenarios.map(({scenario, title}) => el("option", {value: scenario}, title)));
        this.preset = el("select", {change: () => this.#takePreset()},
            el("option", {value: "harmful"}, "without"), el("option", {value: "safe"}, "with"));
        this.strategy = el("select", {change: changed});
        this.buyers = el("select", {change: changed}, [2, 3].map(n => el("option", {value: n}, n)));
        this.units = el("input", {type: "number", min: 0, max: 1000000, step: 1, required: true, change: changed});
        this.goal = el("p", {class: "goal"});
        this.begin = el("button", {type: "button", class: "primary", click: () => this.#start(this.#steps)}, "Start");
        this.undo = el("button", {type: "button", click: () => this.#start(this.#steps.slice(0, -1))}, "Undo the last step");
        this.over = el("button", {type: "button", click: () => this.#start([])}, "Start over");
        this.refused = el("div");
        this.buyersBox = el("div", {class: "actors"});
        this.row = el("p", {class: "row-now"});
        this.events = el("ol", {class: "told"});
        this.outcome = new Outcome();
        this.timeline = new Timeline({player: false, name, heading: "h3"});
        this.game = el("div", {hidden: true}, this.buyersBox, el("h3", {}, "The row in the database now"), this.row,
            this.outcome.element, this.timeline.element, el("h3", {}, "What has happened"), this.events);
        place.append(el("h2", {}, "You are the scheduler"),
            el("p", {}, "Two or three buyers want the same units. Each step waits for you. The database does the rest."),
            el("div", {class: "settings"},
                field("Hazard", this.scenario),
                field("Protection", this.preset, "What the hazard’s story leaves out, or puts in."),
                field("Strategy", this.strategy, "What protects the number between reading and saving."),
                field("Buyers", this.buyers, "A and B, or A, B and C."),
                field("Units", this.units, "How many there are to sell.")),
            this.goal, el("div", {class: "row"}, this.begin, this.undo, this.over), this.refused, this.game);
        addEventListener("pagehide", () => this.#run && isLive(this.#run.view) && this.#run.abandon());
        this.#buttons();
    }

    // Takes the settings of a link. Its steps are made when the visitor presses Start.
    open({scenario, preset, strategy, buyers, units, steps}) {
        const known = this.scenarios.find(other => other.scenario === scenario) ?? this.scenarios[0];
        this.scenario.value = known.scenario;
        this.#forget();
        this.preset.value = preset === "safe" ? "safe" : "harmful";
        offerStrategies(this.strategy, this.strategies, this.#known());
        this.#begin();
        this.strategy.value = strategy ?? this.strategy.value;
        this.buyers.value = [2, 3].includes(buyers) ? buyers : this.buyers.value;
        this.units.value = units ?? this.units.value;
        this.#steps = String(steps ?? "").split(",").filter(step => /^[0-2]$/.test(step)).map(Number);
        this.#buttons();
    }

    get fragment() {
        return toFragment({tab: "scheduler", ...this.#settings(), steps: this.#steps.join(",")});
    }

    #settings() {
        return {scenario: this.scenario.value, preset: this.preset.value, strategy: this.strategy.value, buyers: Number(this.buyers.value),
                units: Number(this.units.value)};
    }

    // All settings of a run with these. Where a request is sent twice, the buyers are one.
    #game() {
        const {preset, ...settings} = this.#settings();
        const base = this.#known()[preset];
        const twice = base.duplicates > 0;
        return {...base, ...settings, lock: hasLock(settings.strategy) ? base.lock : "none", combine: false, manual: true,
                buyers: twice ? 1 : settings.buyers, duplicates: twice ? settings.buyers - 1 : 0};
    }

    #known() { return this.scenarios.find(({scenario}) => scenario === this.scenario.value); }

    #takeScenario() {
        offerStrategies(this.strategy, this.strategies, this.#known());
        this.preset.value = "harmful";
        this.#begin();
        this.#again([]);
    }

    #takePreset() {
        this.strategy.value = this.#known()[this.preset.value].strategy;
        this.#again([]);
    }

    // What a game begins with: one unit, so that two buyers are too many, or enough for each request.
    #begin() {
        this.strategy.value = this.#known()[this.preset.value].strategy;
        this.buyers.value = FOR_THREE.includes(this.scenario.value) ? 3 : 2;
        this.units.value = FOR_ALL.includes(this.scenario.value) ? 6 : 1;
    }

    // Other settings: what was played is void.
    async #again(steps) {
        this.#steps = steps;
        this.#address();
        if (this.#run !== null)
            await this.#start(steps);
        else
            this.#buttons();
    }

    #address() { history.replaceState(null, "", this.fragment); }

    #forget() {
        this.#run?.forget();
        this.#run = null;
        this.#decided.clear();
        this.game.hidden = true;
        this.refused.replaceChildren();
    }

    async #start(steps) {
        await this.#alone(async () => {
            const before = this.#run;
            this.#forget();
            if (before !== null && isLive(before.view))
                await before.cancel();
            this.#run = await Run.start(this.#game());
            await this.#run.fetch(0);
            this.#steps = [];
            for (const actor of steps)
                await this.#make(actor);
            this.#address();
            say(`Started${steps.length > 0 ? `, and ${steps.length} steps repeated` : ""}.`);
        }, () => this.#start(steps));
    }

    // One step of one buyer, by its button.
    async #step(actor) {
        const from = this.#run.events.length;
        await this.#alone(async () => {
            await this.#make(actor);
            this.#address();
            const told = this.#run.events.slice(from).map(event => sentence(event, name(event[ACTOR]))).join(", ");
            say(told || `${name(actor)} waits for a lock.`);
        }, () => this.#start(this.#steps));
        this.#focus(actor);
    }

    // Puts the focus where it was: on this actor's button, or one that can be pressed instead.
    #focus(actor) {
        if (actor === undefined)
            return;
        const same = this.buyersBox.querySelector(`[data-actor="${actor}"]:enabled`);
        (same ?? this.buyersBox.querySelector("button:enabled") ?? this.undo).focus();
    }

    async #make(actor) {
        const run = this.#run;
        const stands = () => isLive(run.view) && run.view.actors[actor]?.waiting;
        for (let i = 0; i < PATIENCE && !stands() && run.view.actors[actor]?.done === false; i++)
            await run.fetch(100);
        if (!stands())
            return;
        const state = run.view.actors[actor];
        await run.step(actor);
        this.#steps.push(actor);
        const now = run.view.actors[actor];
        if (state.at === "lock" && now.at === "lock" && now.waiting)
            this.#decided.add(actor);
        else
            this.#decided.delete(actor);
        await this.#finish();
    }

    async #finish() {
        if (this.#run.view.actors.every(({left}) => left))
            await this.#run.follow(() => {});
    }

    // While a buyer waits for a lock, or for the disk, what it does next comes without a step.
    #watch() {
        const run = this.#run;
        if (run === null || !isLive(run.view) || run.view.actors.every(({waiting, left}) => waiting || left))
            return;
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => { this.#looking = this.#look(run); }, POLL_MS);
    }

    async #look(run) {
        if (this.#busy || run !== this.#run)
            return;
        const was = JSON.stringify(run.view.actors);
        try {
            await run.fetch(0);
            await this.#finish();
        } catch {
            return; // the next step will say why
        }
        if (!this.#busy && run === this.#run) {
            if (was !== JSON.stringify(run.view.actors))
                this.#show();
            this.#watch();
        }
    }

    // One action at a time. Meanwhile the buttons do nothing. Then the page shows what is new.
    async #alone(action, again) {
        if (this.#busy)
            return;
        this.#busy = true;
        this.place.setAttribute("aria-busy", "true");
        this.#buttons();
        await this.#looking;
        try {
            await action();
        } catch (error) {
            if (error.name !== "AbortError")
                await refused(this.refused, error, again);
        } finally {
            this.#busy = false;
            this.place.setAttribute("aria-busy", "false");
            this.#show();
            this.#watch();
        }
    }

    #show() {
        this.#buttons();
        const run = this.#run;
        this.game.hidden = run === null;
        if (run === null)
            return;
        const {view, events} = run;
        const focused = this.buyersBox.contains(document.activeElement) ?
            document.activeElement.dataset.actor : undefined;
        this.buyersBox.replaceChildren(...(view.actors ?? []).map(actor => this.#actor(actor, events)));
        this.#focus(focused);
        const row = events.findLast(event => event[STEP] === "save") ?? events.find(event => event[STEP] === "read");
        this.row.textContent = row === undefined ? `${view.before} left. No buyer has read it yet.` :
            `Version ${row[VERSION]}, ${row[REMAINING]} left.`;
        this.events.replaceChildren(...events.map(event =>
            el("li", {class: run.isTwice(event) && "twice"}, sentence(event, name(event[ACTOR])),
            run.isTwice(event) && ` (saved ${run.times(event)} times)`)));
        if (view.verdict !== null)
            this.outcome.show(run, this.#known());
        else
            this.outcome.element.hidden = true;
        this.timeline.show(run);
    }

    #actor({actor, at, waiting, done, left}, events) {
        const own = events.filter(event => event[ACTOR] === actor);
        const read = own.findLast(event => event[STEP] === "read");
        const answer = own.findLast(event => event[STEP] === "answer");
        const live = isLive(this.#run.view);
        const begun = at !== "" || own.length > 0;
        const blocked = begun && !waiting && !done;
        const locked = hasLock(this.strategy.value);
        const answered = !done && own.findLast(event => ["submit", "answer"].includes(event[STEP]))?.[STEP] === "answer";
        const stops = NEXT[this.#run.settings.lock === "check-first" ? "late" : locked ? "locked" : "free"];
        const next = done || (locked && this.#decided.has(actor)) ? "leaves" :
            this.#decided.has(actor) ? "saves again" :
            answered ? "sends its next request" : stops[at] ?? "goes on";
        return el("section", {class: "card"}, el("h3", {}, name(actor)),
            el("p", {}, left && answer !== undefined ? `Was answered: ${answer[RC]}.` :
                blocked ? "Waits for the lock." : !begun ? "Has not begun." :
                done ? `Has its answer, and still has its lock: ${answer?.[RC]}.` :
                answered ? `Its first request was answered: ${answer[RC]}.` :
                (locked && STATE[at]) || (this.#decided.has(actor) ? "Was refused." :
                    read !== undefined ? STATE.read : locked ? "Is inside, and has read nothing yet." :
                    "Has decided without reading: the save will check.")),
            el("p", {class: "soft"}, read === undefined ? "Knows nothing." :
                `Has read version ${read[VERSION]}, ${read[REMAINING]} left.`),
            el("button", {type: "button", "data-actor": actor, disabled: !waiting || !live, click: () => this.#step(actor)},
                left ? `${name(actor)}: done` : blocked ? `${name(actor)}: waits` : `${name(actor)}: ${next}`));
    }

    #buttons() {
        const played = this.#run !== null;
        this.goal.textContent = GOALS[this.scenario.value] ?? "Can you make the numbers wrong?";
        this.begin.hidden = played;
        this.begin.disabled = this.#busy;
        this.begin.textContent = this.#steps.length > 0 ? `Start, and make the link’s ${this.#steps.length} steps` : "Start";
        this.undo.disabled = this.#busy || !played || this.#steps.length === 0;
        this.over.disabled = this.#busy || !played;
        for (const button of this.#busy ? this.buyersBox.querySelectorAll("button") : [])
            button.setAttribute("aria-disabled", "true");
    }
}
