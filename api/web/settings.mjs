// The settings of a run: what each means, and how they stand in the address's fragment.
import {el} from "./dom.mjs";

// name, label, [lowest, highest] or choices, what it means
const FIELDS = [
    ["strategy", "Strategy", "strategies", "What protects the number between reading it and writing it back."],
    ["buyers", "Buyers", [1, 1000], "How many people press “buy” at the same moment."],
    ["units", "Units", [0, 1000000], "How many there are to sell at the start."],
    ["think_ms", "Think time (ms)", [0, 1000],
     "The pause between reading the number and saving it. The longer it is, the more buyers read the same number."],
    ["workers", "Workers", [1, 64], "How many requests each instance works on at the same time."],
    ["instances", "Instances", [1, 2], "How many copies of the service share the database."],
    ["lock", "Where the lock is taken", [
        ["none", "as the strategy does"],
        ["around", "around all steps"],
        ["unlock-early", "given back too early"],
        ["check-first", "taken after the check"],
        ["no-owner", "given back by anyone"],
    ], "All but the first need a strategy with a lock, and save as none does: the row is not asked whether the lock still holds."],
    ["combine", "Combine requests", "switch", "One worker carries all waiting requests for the product through one transaction."],
    ["fence", "Fencing token", "switch",
     "Each lock holder gets a higher number, and the database refuses a save with a lower one than the last."],
    ["belts", "Unique keys and checks", "switch",
     "The database itself refuses rows that contradict each other. Without them only the strategy protects."],
    ["duplicates", "Duplicates", [0, 4], "How many times each buyer sends the same request again, as an impatient one does."],
    ["lease_ms", "Lease (ms)", [100, 60000], "A lock is taken from its holder after this time. Nothing renews it here."],
    ["sleep_ms", "Sleep (ms)", [0, 5000], "How long the first buyer’s worker stands still, in hazards where one does."],
    ["seed", "Seed", [0, 1000000000], "The same seed gives the same think times."],
];
const BASIC = 4; // of them are always shown; the others stand under "More settings"

export const NAMES = FIELDS.map(([name]) => name);
const SWITCHES = FIELDS.filter(([, , kind]) => kind === "switch").map(([name]) => name);

export const labelOf = name => FIELDS.find(field => field[0] === name)[1];

// Whether a strategy takes a lock outside of the transaction.
export const hasLock = strategy => strategy !== "row-lock" && /lock|mutex/.test(strategy);

// "#scenario=lost-update&buyers=100" to {scenario: "lost-update", buyers: 100}
export function fromFragment(fragment) {
    return Object.fromEntries([...new URLSearchParams(fragment.replace(/^#/, ""))].map(([name, value]) =>
        [name, SWITCHES.includes(name) ? value === "true" : /^\d+$/.test(value) && name !== "steps" ? Number(value) : value]));
}

export const toFragment = settings => `#${new URLSearchParams(settings)}`.replaceAll("%2C", ",");

// Fills a list of strategies with all; those that the scenario or this service cannot use are disabled.
export function offerStrategies(select, strategies, scenario) {
    const chosen = select.value;
    select.replaceChildren(...strategies.map(({strategy, available, why_not}) => {
        const fits = scenario.strategies.includes(strategy);
        return el("option", {value: strategy, disabled: !available || !fits, title: why_not},
            strategy, !fits ? " (has no such lock)" : !available && " (its server is not there)");
    }));
    select.value = chosen;
}

// A control for each setting. `changed` is called after each change by the user.
export class Controls {
    #inputs = {};

    constructor(strategies, changed) {
        this.strategies = strategies;
        const fields = FIELDS.map(field => this.#field(field));
        this.more = el("details", {}, el("summary", {}, "More settings"), el("div", {class: "settings"}, fields.slice(BASIC)));
        // A field that stands in closed details cannot say that it is wrong.
        this.more.addEventListener("invalid", () => { this.more.open = true; }, true);
        this.element = el("div", {change: changed}, el("div", {class: "settings"}, fields.slice(0, BASIC)), this.more);
    }

    #field([name, label, kind, help]) {
        const id = `set-${name}`;
        const common = {id, name, "aria-describedby": `${id}-help`};
        const input = this.#inputs[name] =
            kind === "switch" ? el("input", {type: "checkbox", ...common}) :
            kind === "strategies" ? el("select", common) :
            Array.isArray(kind[0]) ? el("select", common, kind.map(([value, text]) => el("option", {value}, text))) :
            el("input", {type: "number", min: kind[0], max: kind[1], step: 1, required: true, ...common});
        const words = kind === "switch" ? el("label", {for: id, class: "row"}, input, label) : el("label", {for: id}, label);
        return el("div", {class: "field"}, words, kind !== "switch" && input, el("p", {id: `${id}-help`, class: "soft"}, help));
    }

    offer(scenario) { offerStrategies(this.#inputs.strategy, this.strategies, scenario); }

    get() {
        return Object.fromEntries(Object.entries(this.#inputs).map(([name, input]) =>
            [name, input.type === "checkbox" ? input.checked : input.type === "number" ? Number(input.value) : input.value]));
    }

    set(settings) {
        for (const [name, input] of Object.entries(this.#inputs))
            if (!(name in settings))
                continue;
            else if (input.type === "checkbox")
                input.checked = settings[name];
            else
                input.value = settings[name];
    }
}
