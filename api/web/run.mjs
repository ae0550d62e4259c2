// A run of the laboratory: starts it, follows its events by long-poll, and knows what they mean.
import {api} from "./http.mjs";

// An event is a list; these are the places of its members.
export const [SEQ, TIME, ACTOR, STEP, VERSION, REMAINING, RC] = [0, 1, 2, 3, 4, 5, 6];

// What a buyer's request goes through, in this order. Each has a letter, for those who do not see colours.
export const STEPS = {
    submit: {letter: "Q", word: "sends the request", state: "waits in the queue, or for a lock"},
    lock: {letter: "E", word: "enters", state: "is inside"},
    read: {letter: "R", word: "reads", state: "has read, and has not saved"},
    save: {letter: "W", word: "saves", state: "has saved"},
    leave: {letter: "L", word: "leaves", state: "has left, and waits for the answer"},
    answer: {letter: "A", word: "gets its answer", state: "has its answer"},
    expired: {letter: "X", word: "loses the lock: the lease has ended", state: "goes on without the lock"},
};

const LIMIT = 2000; // events an answer
const POLL_MS = 60; // between two answers, so that a fast run does not cost a request an event

// A call that was not answered as asked. `status` is 0 if no answer came.
export class CallError extends Error {
    constructor({status, body}) {
        super([body.title, body.detail].filter(Boolean).join(". ") || `The service answered ${status}.`);
        this.status = status;
        this.slug = String(body.type ?? "").replace(/^.*\//, "");
    }
}

async function call(method, path, body, signal) {
    const answer = await api(method, path, body, {signal});
    if (answer.status < 200 || answer.status > 299)
        throw new CallError(answer);
    return answer.body;
}

// The laboratory: its strategies and scenarios, and the current run. CallError 404: it is closed.
export const laboratory = () => call("GET", "/v1/lab/runs");

export const isLive = view => ["preparing", "running", "checking"].includes(view.state);

export class Run {
    #abort = new AbortController();
    #after = 0;
    #read = new Map(); // actor -> its last read that no save has followed

    // Takes what the laboratory said about a run that exists.
    constructor(view) {
        this.view = view;
        this.events = [];
        this.saves = new Map();    // version -> [{save, read}]; read is what the save rests on
        this.twice = [];           // versions that were saved more than once, in the order of their harm
        this.readers = new Map();  // version -> actors that read it
        this.effects = new Map();  // buyer -> actors, one for each save of the buyer's
        this.retried = new Set();  // actors that read again before they saved
        this.retries = 0;
    }

    static async start(settings) {
        return new Run(await call("POST", "/v1/lab/runs", settings));
    }

    get settings() { return this.view.settings; }

    // How many requests there are. Each is an actor.
    get size() { return this.settings.buyers * (1 + this.settings.duplicates); }

    buyer(actor) { return Math.floor(actor / (1 + this.settings.duplicates)); }

    // "Buyer 3", and with duplicates "Buyer 3 b".
    name(actor) {
        const copies = 1 + this.settings.duplicates;
        return `Buyer ${this.buyer(actor) + 1}${copies > 1 ? ` ${"abcde"[actor % copies]}` : ""}`;
    }

    #path(rest = "") { return `/v1/lab/runs/${this.view.run}${rest}`; }

    // Fetches what is new, waiting up to wait_ms for it. Returns whether there may be more at once.
    async fetch(wait_ms) {
        const path = this.#path(`?after=${this.#after}&limit=${LIMIT}&wait_ms=${wait_ms}`);
        const {events, ...view} = await call("GET", path, undefined, this.#abort.signal);
        for (const event of events)
            this.#note(event);
        this.#after = view.next_after;
        this.view = view;
        return view.more;
    }

    // Fetches until the run has ended and all its events are here. Calls `changed` after each answer.
    async follow(changed) {
        for (;;) {
            const more = await this.fetch(1000);
            changed(this);
            if (!more && !isLive(this.view))
                return;
            await new Promise(done => setTimeout(done, more ? 0 : POLL_MS));
        }
    }

    // Ends `follow` and every other call that is under way with an AbortError.
    forget() { this.#abort.abort(); }

    // For a page that is closed: asks for the end and does not wait.
    abandon() { api("DELETE", this.#path(), undefined, {keepalive: true}); }

    // Resolves when the run has ended.
    async cancel() {
        for (let view = await call("DELETE", this.#path()); isLive(view);)
            view = await call("GET", this.#path("?limit=1&wait_ms=1000"));
    }

    // Lets an actor of a manual run go to its next stop, then fetches what has happened.
    async step(actor) {
        await call("POST", this.#path("/step"), {actor}, this.#abort.signal);
        await this.fetch(0);
    }

    #note(event) {
        const [, , actor, step, version] = event;
        this.events.push(event);
        if (step === "read") {
            if (this.#read.has(actor)) {
                this.retries++;
                this.retried.add(actor);
            }
            this.#read.set(actor, event);
            put(this.readers, version, actor);
        } else if (step === "save") {
            put(this.effects, this.buyer(actor), actor);
            const list = put(this.saves, version, {save: event, read: this.#read.get(actor)});
            this.#read.delete(actor);
            if (list.length === 2)
                this.twice.push(version);
        }
    }

    // How often the version was saved that this event saves. 0: it saves none.
    times(event) { return event[STEP] === "save" ? this.saves.get(event[VERSION]).length : 0; }

    isTwice(event) { return this.times(event) > 1; }

    // Actors whose request took effect more than once, because it was sent again.
    get repeated() {
        const again = this.settings.duplicates > 0 || this.events.some(event => event[RC] === "lost");
        return again ? [...this.effects.values()].filter(actors => actors.length > 1).flat() : [];
    }
}

function put(map, key, value) {
    let list = map.get(key);
    if (list === undefined)
        map.set(key, list = []);
    list.push(value);
    return list;
}

export const ms = t_us => `${(t_us / 1000).toFixed(2)} ms`;

// What happened, in words: "Buyer 3 saves version 12, 38 left".
export function sentence(event, name) {
    const [, , , step, version, remaining, rc] = event;
    const said = `${name} ${STEPS[step].word}`.trim();
    if (step === "read" || step === "save")
        return `${said} version ${version}, ${remaining} left`;
    return step === "answer" ? `${said}: ${rc}` : said;
}
