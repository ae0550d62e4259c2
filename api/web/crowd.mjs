// An overview of all buyers of a run on a canvas: a row a buyer in the order of arrival, time to the right.
//
// The drawing has a cursor over the run's events. Each event paints the state that it ends, so a frame
// draws what is new, and a redraw (another size, another colour scheme) puts the cursor back to 0. A
// frame stops after FRAME_MS; the next one goes on. The thickness and the hatching of a row say what its
// colour says. Many buyers stand in columns side by side, each with a time axis of its own.
import {el, svg} from "./dom.mjs";
import {ACTOR, RC, STEP, STEPS, TIME, isLive, sentence} from "./run.mjs";

const FRAME_MS = 8;
const GAP = 14;            // between columns
const COLUMN_MIN = 150;
const HEIGHT = 460;        // a column is at most so high, if the columns fit
const ROW_MIN = 3, ROW_MAX = 22;
const LETTERS_FROM = 11;   // rows of this height have letters

// Paints a state into a box: what `step` began.
function paint(context, ink, step, x, y, width, height) {
    context.fillStyle = ink.card;
    context.fillRect(x, y, width, height);
    const thin = Math.max(1, Math.round(height / 5));
    if (step === "submit" || step === "leave") {
        context.fillStyle = ink.wait;
        context.fillRect(x, y + (height - thin) / 2, width, thin);
    } else if (step !== "answer") {
        context.fillStyle = {lock: ink.inside, save: ink.save}[step] ?? ink.hatch;
        context.fillRect(x, y, width, height);
    }
}

function letter(context, ink, text, x, y, height) {
    context.font = `${Math.min(12, height - 1)}px ${ink.font}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    const width = context.measureText(text).width + 2;
    context.fillStyle = ink.card;
    context.fillRect(x - width / 2, y + 1, width, height - 2);
    context.fillStyle = ink.ink;
    context.fillText(text, x, y + height / 2 + 1);
}

export class Crowd {
    #canvas = el("canvas", {role: "img", class: "crowd"});
    #heads = svg("svg", {"aria-hidden": "true", class: "heads"});
    #about = el("p", {class: "soft about"});
    #run = null;
    #cursor = 0;
    #frame = 0;
    #end = 1;       // of the time axis, in us
    #head = null;   // the time that is shown below, in us

    constructor() {
        this.element = el("div", {class: "crowd-box"}, this.#canvas, this.#heads);
        this.legend = el("ul", {class: "legend"});
        this.about = this.#about;
        this.#canvas.addEventListener("pointermove", event => this.#point(event));
        this.#canvas.addEventListener("pointerleave", () => this.#say());
        new ResizeObserver(() => this.redraw()).observe(this.element);
        for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"])
            matchMedia(query).addEventListener("change", () => this.#dip());
        this.#say();
    }

    show(run) {
        this.#run = run;
        this.#end = 1;
        this.#head = null;
        this.#dip();
    }

    // Draws what has been added to the run.
    grow() {
        const live = isLive(this.#run.view);
        const last = Math.max(this.#run.events.at(-1)?.[TIME] ?? 0, live ? this.#run.view.elapsed_us : 0, 1);
        if (live && last <= this.#end) {
            this.#ask();
            return;
        }
        this.#end = live ? last * 2 : last;
        this.redraw();
    }

    // Moves the line that marks a time; null takes it away.
    mark(t_us) {
        this.#head = t_us;
        this.#drawHeads();
    }

    redraw() {
        if (this.ink === undefined)
            return;
        this.#layOut();
        this.#drawHeads();
        this.#ask();
    }

    #ask() {
        this.#frame ||= requestAnimationFrame(() => this.#draw());
    }

    // Takes the colours of the style sheet, and draws everything with them.
    #dip() {
        const style = getComputedStyle(this.element);
        this.ink = {font: style.fontFamily};
        for (const name of ["ink", "card", "good", "soft", "run-wait", "run-inside", "run-read", "run-save", "run-harm"])
            this.ink[name.replace("run-", "")] = style.getPropertyValue(`--${name}`);
        this.ink.hatch = hatching(this.ink);
        this.#drawLegend();
        this.redraw();
    }

    #layOut() {
        const context = this.#canvas.getContext("2d");
        const width = Math.max(this.element.clientWidth, 100);
        const rows = this.#run?.size ?? 1;
        const scale = devicePixelRatio;
        const most = Math.max(1, Math.floor((width + GAP) / (COLUMN_MIN + GAP)));
        this.columns = Math.min(most, Math.ceil(rows * ROW_MIN / HEIGHT));
        this.rows = Math.ceil(rows / this.columns);
        this.rowHeight = Math.max(2, Math.min(ROW_MAX, Math.floor(HEIGHT / this.rows)));
        this.width = (width - GAP * (this.columns - 1)) / this.columns;
        this.height = this.rows * this.rowHeight;
        this.#canvas.width = Math.round(width * scale);
        this.#canvas.height = Math.round(this.height * scale);
        this.#canvas.style.height = `${this.height}px`;
        context.setTransform(scale, 0, 0, scale, 0, 0);
        context.fillStyle = this.ink.card;
        context.fillRect(0, 0, width, this.height);
        this.context = context;
        this.#cursor = 0;
        this.rowOf = new Int32Array(rows).fill(-1);
        this.order = [];                        // actors in the order of arrival: whose row is which
        this.last = new Array(rows).fill(null); // of each actor: the event that began its state
        this.to = new Float64Array(rows);       // of each actor: the time up to which that is painted
        this.#canvas.dataset.drawn = 0;
    }

    #x(t_us) { return Math.min(1, t_us / this.#end) * (this.width - 5); }

    #corner(actor) {
        const row = this.rowOf[actor];
        const column = Math.floor(row / this.rows);
        return [column * (this.width + GAP), (row - column * this.rows) * this.rowHeight];
    }

    // How high a row is painted: there is a gap below, if there is room for one.
    #thick() { return this.rowHeight - (this.rowHeight > 4 ? 1 : 0); }

    #draw() {
        this.#frame = 0;
        if (this.#run === null)
            return;
        const {events, view} = this.#run;
        const until = performance.now() + FRAME_MS;
        while (this.#cursor < events.length && performance.now() < until)
            for (let i = 0; i < 50 && this.#cursor < events.length; i++)
                this.#event(events[this.#cursor++]);
        this.#canvas.dataset.drawn = this.#cursor;
        if (this.#cursor < events.length) {
            this.#ask();
            return;
        }
        if (isLive(view))
            for (let actor = 0; actor < this.last.length; actor++)
                this.#span(actor, view.elapsed_us);
        for (const version of this.#run.twice)
            for (const {save} of this.#run.saves.get(version))
                this.#harm(save);
        this.#canvas.setAttribute("aria-label", `Overview of ${this.#run.size} requests, ` +
            `${events.length} events. ${view.verdict?.sentence ?? ""} The table of all buyers says the same.`);
    }

    // Paints the state that an actor is in, up to a time.
    #span(actor, t_us) {
        const event = this.last[actor];
        if (event === null || event[STEP] === "answer" || t_us <= this.to[actor])
            return;
        const [left, y] = this.#corner(actor);
        const height = this.#thick();
        const from = this.#x(this.to[actor]);
        const width = this.#x(t_us) - from;
        paint(this.context, this.ink, event[STEP], left + from, y, width, height);
        if (height >= LETTERS_FROM && this.to[actor] === event[TIME] && width > 12)
            letter(this.context, this.ink, STEPS[event[STEP]].letter, left + from + 8, y, height);
        this.to[actor] = t_us;
    }

    #event(event) {
        const actor = event[ACTOR];
        if (actor >= this.last.length)
            return;
        if (this.last[actor]?.[STEP] === "answer" && event[STEP] !== "submit")
            return; // it leaves after its answer
        if (this.rowOf[actor] < 0)
            this.rowOf[actor] = this.order.push(actor) - 1;
        this.#span(actor, event[TIME]);
        this.last[actor] = event;
        this.to[actor] = event[TIME];
        if (event[STEP] === "answer")
            this.#answer(actor, event);
    }

    // The answer: a full bar for a success, a hollow one for a refusal.
    #answer(actor, event) {
        const [left, y] = this.#corner(actor);
        const height = this.#thick();
        const x = left + this.#x(event[TIME]);
        this.context.fillStyle = event[RC] === "ok" ? this.ink.good : this.ink.soft;
        this.context.fillRect(x, y, event[RC] === "ok" ? 4 : 1, height);
    }

    #harm(save) {
        const [left, y] = this.#corner(save[ACTOR]);
        const height = this.#thick();
        const x = left + this.#x(save[TIME]);
        this.context.fillStyle = this.ink.harm;
        this.context.fillRect(x - 2, y, 5, height);
        if (height >= LETTERS_FROM)
            letter(this.context, this.ink, "2×", x - 12, y, height);
    }

    #drawHeads() {
        const height = this.height;
        this.#heads.setAttribute("height", height);
        this.#heads.replaceChildren(...(this.#head === null ? [] :
            Array.from({length: this.columns}, (_, column) => {
                const x = column * (this.width + GAP) + this.#x(this.#head);
                return svg("line", {x1: x, x2: x, y1: 0, y2: height});
            })));
    }

    #drawLegend() {
        const swatch = step => {
            const canvas = el("canvas", {width: 36, height: 16, "aria-hidden": "true"});
            const context = canvas.getContext("2d");
            paint(context, this.ink, step, 0, 0, 36, 16);
            return canvas;
        };
        const bar = (ink, width) => {
            const canvas = el("canvas", {width: 36, height: 16, "aria-hidden": "true"});
            const context = canvas.getContext("2d");
            context.fillStyle = ink;
            context.fillRect(16, 0, width, 16);
            return canvas;
        };
        this.legend.replaceChildren(
            ...["submit", "lock", "read", "save"].map(step =>
                el("li", {}, swatch(step), `${STEPS[step].letter}: ${STEPS[step].state}`)),
            el("li", {}, bar(this.ink.good, 4), "success"),
            el("li", {}, bar(this.ink.soft, 1), "refused, or failed"),
            el("li", {}, bar(this.ink.harm, 5), "2×: saves a version that another buyer saves too"));
    }

    #point({offsetX, offsetY}) {
        const column = Math.floor(offsetX / (this.width + GAP));
        const row = Math.floor(offsetY / this.rowHeight);
        this.#say((row < this.rows ? this.order[column * this.rows + row] : undefined) ?? null);
    }

    #say(actor = null) {
        if (actor === this.said)
            return;
        this.said = actor;
        this.#about.textContent = actor === null ? "Point at a row to read what this buyer did." :
            this.#run.events.filter(event => event[ACTOR] === actor)
                .map((event, i) => sentence(event, i === 0 ? this.#run.name(actor) : "")).join(", ") + ".";
    }
}

// Diagonal lines, as a pattern.
function hatching({card, read}) {
    const tile = document.createElement("canvas");
    const size = tile.width = tile.height = 6;
    const pen = tile.getContext("2d");
    pen.fillStyle = card;
    pen.fillRect(0, 0, size, size);
    pen.strokeStyle = read;
    pen.lineWidth = 2;
    for (const shift of [-size, 0, size]) {
        pen.beginPath();
        pen.moveTo(shift - 1, size + 1);
        pen.lineTo(shift + size + 1, -1);
        pen.stroke();
    }
    return pen.createPattern(tile, "repeat");
}
