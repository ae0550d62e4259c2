// A timeline of at most 24 buyers of a run, as a drawing and as a table with the same rows, with a player
// that goes through the events one by one.
//
// It chooses the buyers by itself: all that read the version that was then saved twice; without such a
// version those around a lock that expired, or those that had to read again; otherwise the first ones.
import {el, say, svg} from "./dom.mjs";
import {ACTOR, RC, REMAINING, SEQ, STEP, STEPS, TIME, VERSION, ms, sentence} from "./run.mjs";

const ACTORS = 24;
const EVENTS = 240;
const LABEL = 84, TOP = 44, ROW = 38, MARK = 20, FOOT = 26;
const COLUMN_MIN = 22, COLUMN_MAX = 64;
const SLICE_MS = 6;
const CROWDED = 60; // with more events than this, the drawing begins with reads and saves only
const ESSENTIAL = ["read", "save", "expired"];

const KEY = [...Object.values(STEPS).filter(({letter}) => letter !== "A").map(({letter, word}) => `${letter} ${word}`),
             "✓ is accepted", "– is refused"].join(", ") + ". Below R and W: how many are left.";

const unique = list => [...new Set(list)];

// What a run can be looked at by: [{label, actors}], the most interesting first.
export function groups(run) {
    const found = [];
    for (const version of run.twice) {
        const saves = run.saves.get(version);
        const read = saves.flatMap(({read}) => read ? run.readers.get(read[VERSION]) : []);
        found.push({label: `Version ${version}, saved ${saves.length} times`, harm: true,
                    actors: unique([...saves.map(({save}) => save[ACTOR]), ...read])});
    }
    if (run.repeated.length > 0)
        found.push({label: "Requests that took effect twice", harm: true, actors: unique(run.repeated)});
    const around = aroundExpired(run.events);
    if (around.length > 0)
        found.push({label: "Around the lock that expired", actors: around});
    if (run.retried.size > 0)
        found.push({label: "Buyers that had to read again", actors: [...run.retried]});
    const all = unique(run.events.map(event => event[ACTOR]));
    for (let i = 0; i < all.length; i += ACTORS)
        found.push({label: `Arrival ${i + 1} to ${Math.min(i + ACTORS, all.length)}`, actors: all.slice(i, i + ACTORS)});
    return found.map(group => ({...group, actors: group.actors.slice(0, ACTORS)}));
}

// The holder that lost its lock, and all that did something until it had its answer.
function aroundExpired(events) {
    const lost = events.findIndex(event => event[STEP] === "expired");
    if (lost < 0)
        return [];
    const holder = events[lost][ACTOR];
    const end = events.findIndex((event, i) => i > lost && event[ACTOR] === holder && event[STEP] === "answer");
    return unique([holder, ...events.slice(lost, end < 0 ? undefined : end).map(event => event[ACTOR])]);
}

// Until the page has been drawn, or a while has passed, because a hidden page is not drawn.
const drawn = () => new Promise(done => {
    requestAnimationFrame(() => setTimeout(done));
    setTimeout(done, 100);
});

// Calls `each` for every item without holding up the page, which draws between the slices. Stops early, and
// returns false, when `alive` is false.
async function inSlices(items, each, alive) {
    let until = performance.now() + SLICE_MS;
    for (const [i, item] of items.entries()) {
        each(item, i);
        if (performance.now() > until) {
            await drawn();
            if (!alive())
                return false;
            until = performance.now() + SLICE_MS;
        }
    }
    await drawn();
    return alive();
}

export class Timeline {
    #serial = 0;
    #at = 0;         // how many of the events have happened
    #timer = 0;
    #events = [];
    #marks = new Map();
    #rows = new Map();
    #reduced = matchMedia("(prefers-reduced-motion: reduce)");

    // {moved} is called with the event that was gone to, or null; {name} says what an actor is called,
    // instead of the run. Without {player} there are only drawing and table.
    constructor({moved = () => {}, name, player = true, heading = "h2"} = {}) {
        Object.assign(this, {moved, player});
        this.name = name ?? (actor => this.run.name(actor));
        this.chooser = el("select", {change: () => this.#choose()});
        this.essential = el("input", {type: "checkbox", change: () => this.#draw()});
        this.choice = el("label", {class: "field"}, "Buyers to show", this.chooser);
        this.filter = el("label", {class: "row"}, this.essential, "Only reads and saves");
        this.drawing = el("div", {class: "wide drawing", role: "region", "aria-label": "Timeline", tabindex: 0});
        this.body = el("tbody");
        this.table = el("div", {class: "wide tall", role: "region", "aria-label": "Events of the timeline", tabindex: 0},
            el("table", {class: "events"},
                el("thead", {}, el("tr", {}, ["No.", "Time", "Buyer", "Step", "Version", "Left", "Note"]
                    .map(head => el("th", {scope: "col"}, head)))),
                this.body));
        this.more = el("p", {class: "soft", hidden: true});
        this.element = el("section", {class: "timeline", hidden: true},
            el(heading, {}, "Timeline"), this.choice, this.filter, this.drawing, el("p", {class: "soft key"}, KEY), player && this.#buildPlayer(), this.more,
            el("details", {open: heading === "h2"}, el("summary", {}, "The same events as a table"), this.table));
        this.drawing.addEventListener("keydown", event => this.#key(event));
    }

    #buildPlayer() {
        const button = (text, click, help) => el("button", {type: "button", click, title: help}, text);
        this.play = button("Play", () => this.#toggle(), "Shows one event after the other");
        this.slider = el("input", {type: "range", min: 0, max: 0, step: 1, "aria-label": "Event",
                                   input: () => this.go(Number(this.slider.value))});
        this.speed = el("select", {}, [[1, "1 event a second"], [3, "3 events a second"], [10, "10 events a second"],
                                       [30, "30 events a second"]].map(([value, text]) => el("option", {value}, text)));
        this.speed.value = 3;
        this.where = el("p", {class: "where"});
        const still = el("p", {class: "soft"}, "Your system asks for less motion, so there is no Play: use the steps.");
        const motion = () => {
            this.play.disabled = this.#reduced.matches;
            still.hidden = !this.#reduced.matches;
            this.#stop();
        };
        this.#reduced.addEventListener("change", motion);
        motion();
        const spoken = at => () => {
            this.go(at());
            say(this.where.textContent);
        };
        return el("div", {class: "player", role: "group", "aria-label": "Player"},
            el("div", {class: "row"},
                button("Start", spoken(() => 0), "Before the first event"),
                button("Step back", spoken(() => this.#at - 1), "One event back (left arrow key)"),
                this.play,
                button("Step", spoken(() => this.#at + 1), "One event on (right arrow key)"),
                button("End", spoken(() => this.#events.length), "After the last event"),
                el("label", {class: "row"}, "Speed", this.speed)),
            this.slider, this.where, still);
    }

    // Shows a run. Resolves when all is drawn.
    show(run) {
        this.run = run;
        this.groups = groups(run).slice(this.player ? 0 : -1);
        this.element.hidden = this.groups.length === 0;
        this.choice.hidden = this.groups.length < 2;
        this.chooser.replaceChildren(...this.groups.slice(0, 200).map(({label}, i) => el("option", {value: i}, label)));
        return this.#choose();
    }

    #choose() {
        const group = this.groups[Number(this.chooser.value) || 0];
        if (group === undefined)
            return undefined;
        this.actors = group.actors;
        const events = this.run.events.filter(event => group.actors.includes(event[ACTOR]));
        this.essential.checked = this.player && events.length > CROWDED && events.some(event => event[STEP] === "save");
        this.filter.hidden = !this.player;
        return this.#draw();
    }

    clear() {
        this.#serial++;
        this.#stop();
        this.element.hidden = true;
    }

    async #draw() {
        const serial = ++this.#serial;
        const alive = () => serial === this.#serial;
        this.#stop();
        const rows = new Map();
        const all = this.run.events.filter(event => this.actors.includes(event[ACTOR]) &&
            (!this.essential.checked || ESSENTIAL.includes(event[STEP])));
        this.#events = all.slice(0, EVENTS);
        unique(this.#events.map(event => event[ACTOR])).forEach((actor, i) => rows.set(actor, i));
        this.more.hidden = all.length === this.#events.length;
        this.more.textContent = `These are the first ${EVENTS} of ${all.length} events of these buyers.`;

        this.#marks.clear();
        this.#rows.clear();
        this.body.replaceChildren();
        if (!await this.#sketch(rows, alive))
            return;
        this.#center(this.x(Math.max(0, this.#events.findIndex(event => this.run.isTwice(event)))));
        if (!await inSlices(this.#events, event => this.body.append(this.#row(event)), alive))
            return;
        if (this.player) {
            this.slider.max = this.#events.length;
            this.#at = 0;
            this.go(this.#events.length);
        }
    }

    async #sketch(rows, alive) {
        const events = this.#events;
        const room = this.drawing.clientWidth - LABEL - 2 * MARK;
        const column = Math.max(COLUMN_MIN, Math.min(COLUMN_MAX, Math.floor(room / (events.length + 1))));
        this.x = i => MARK + i * column;
        const width = this.x(events.length) + MARK;
        const height = TOP + rows.size * ROW + FOOT;
        const y = actor => TOP + rows.get(actor) * ROW;
        const last = new Map();
        const ticks = svg("g"), spans = svg("g"), marks = svg("g"), links = svg("g"), words = svg("g");
        const names = svg("svg", {"aria-hidden": "true", class: "names", width: LABEL, height},
            [...rows.keys()].map(actor => svg("text", {x: 4, y: y(actor) + MARK - 5}, this.name(actor))));
        const picture = svg("svg", {role: "img", width, height, viewBox: `0 0 ${width} ${height}`},
            hatches(), ticks, spans, links, marks, words);
        this.drawing.replaceChildren(names, picture);
        let stamped = -Infinity;
        const places = new Map();
        const done = await inSlices(events, (event, i) => {
            const [seq, t_us, actor, step] = event;
            const x = this.x(i);
            if (last.has(actor))
                spans.append(span(last.get(actor), x, y(actor)));
            if (last.get(actor)?.step !== "answer" || step === "submit")
                last.set(actor, {x, step});
            const mark = this.#mark(event, x, y(actor));
            this.#marks.set(seq, mark);
            marks.append(mark);
            places.set(event, [x, y(actor)]);
            if (x - stamped > 76) {
                words.append(svg("text", {x, y: height - 6, class: "time"}, ms(t_us)));
                ticks.append(svg("line", {x1: x, x2: x, y1: TOP - 8, y2: height - FOOT + 4, class: "tick"}));
                stamped = x;
            }
        }, alive);
        if (!done)
            return false;
        const twice = unique(events.filter(event => this.run.isTwice(event)).map(event => event[VERSION]));
        for (const [i, version] of twice.entries())
            links.append(...this.#link(version, places, 14 + i % 2 * 16));
        picture.setAttribute("aria-label", `Timeline of ${rows.size} buyers with ${events.length} events. ` +
            twice.map(version => `Version ${version} was saved ${this.run.saves.get(version).length} times: ` +
                `${this.#bothRead(version)}. `).join("") + "The table below has the same events.");
        return true;
    }

    #mark(event, x, y) {
        const [seq, , , step, version, remaining, rc] = event;
        const twice = this.run.isTwice(event);
        const mark = svg("g", {class: `mark ${step}${twice ? " twice" : ""}${rc && rc !== "ok" ? " refused" : ""}`,
                               "data-seq": seq, "data-version": version, "data-left": remaining,
                               transform: `translate(${x} ${y})`},
            svg("rect", {x: -MARK / 2, width: MARK, height: MARK, rx: step === "read" ? MARK / 2 : 3}),
            twice && svg("rect", {x: -MARK / 2, width: MARK, height: MARK, rx: 3, class: "hatched"}),
            svg("text", {y: MARK - 5}, rc && rc !== "ok" ? "–" : rc === "ok" ? "✓" : STEPS[step]?.letter ?? "?"));
        if (step === "read" || step === "save")
            mark.append(svg("text", {y: MARK + 12, class: "count"}, remaining));
        return mark;
    }

    #bothRead(version) {
        const saves = this.run.saves.get(version);
        const left = unique(saves.map(({read}) => read?.[REMAINING]));
        const many = saves.length === 2 ? "both" : `all ${saves.length}`;
        return left.length === 1 && left[0] !== undefined ? `${many} read ${left[0]}` : `${many} saved version ${version}`;
    }

    // Joins the saves of one version, and says above them what all of them had read.
    #link(version, places, top) {
        const points = this.run.saves.get(version).map(({save}) => places.get(save)).filter(Boolean);
        if (points.length < 2)
            return [];
        const [x] = points[0];
        const path = points.map(([x, y], i) => `${i ? "L" : "M"}${x} ${y + MARK / 2}`).join("");
        return [svg("path", {d: `M${x} ${top + 4}V${points[0][1]}${path}`, class: "link"}),
                svg("text", {x: x - 4, y: top, class: "link-text"}, this.#bothRead(version))];
    }

    #row(event) {
        const [seq, t_us, actor, step, version, remaining, rc] = event;
        const told = step === "read" || step === "save";
        const twice = this.run.isTwice(event);
        const row = el("tr", {"data-seq": seq, class: twice && "twice"},
            el("td", {class: "number"}, seq), el("td", {class: "number"}, ms(t_us)), el("td", {}, this.name(actor)),
            el("td", {}, STEPS[step]?.word ?? step), el("td", {class: "number"}, told && version),
            el("td", {class: "number"}, told && remaining),
            el("td", {}, twice ? `saved ${this.run.times(event)} times` : rc));
        this.#rows.set(seq, row);
        return row;
    }

    // Goes to where `at` events have happened.
    go(at) {
        at = Math.max(0, Math.min(this.#events.length, at));
        const [low, high] = [Math.min(at, this.#at), Math.max(at, this.#at)];
        for (let i = low; i < high; i++) {
            const seq = this.#events[i][SEQ];
            this.#marks.get(seq).classList.toggle("later", i >= at);
            this.#rows.get(seq).classList.toggle("later", i >= at);
        }
        this.#current(this.#at, false);
        this.#at = at;
        this.#current(at, at < this.#events.length);
        const event = this.#events[at - 1];
        this.slider.value = at;
        this.where.textContent = event === undefined ? "Before the first event." :
            `Event ${at} of ${this.#events.length}, ${ms(event[TIME])}: ${sentence(event, this.name(event[ACTOR]))}.`;
        this.slider.setAttribute("aria-valuetext", this.where.textContent);
        this.moved(event ?? null);
    }

    #center(x) { this.drawing.scrollLeft = x - (this.drawing.clientWidth - LABEL) / 2; }

    #current(at, on) {
        const event = this.#events[at - 1];
        if (event === undefined)
            return;
        const mark = this.#marks.get(event[SEQ]), row = this.#rows.get(event[SEQ]);
        mark.classList.toggle("now", on);
        row.classList.toggle("now", on);
        if (!on) {
            row.removeAttribute("aria-current");
            return;
        }
        row.setAttribute("aria-current", "true");
        const x = this.x(at - 1);
        const {scrollLeft, clientWidth} = this.drawing;
        if (x < scrollLeft + MARK || x > scrollLeft + clientWidth - LABEL - MARK)
            this.#center(x);
        this.table.scrollTop = row.offsetTop - this.table.clientHeight / 2;
    }

    #toggle() {
        if (this.#timer) {
            this.#stop();
            return;
        }
        if (this.#at === this.#events.length)
            this.go(0);
        this.play.textContent = "Pause";
        const tick = () => {
            this.go(this.#at + 1);
            if (this.#at === this.#events.length) {
                this.#stop();
                say("The timeline has ended.");
            } else {
                this.#timer = setTimeout(tick, 1000 / this.speed.value);
            }
        };
        this.#timer = setTimeout(tick, 0);
    }

    #stop() {
        clearTimeout(this.#timer);
        this.#timer = 0;
        if (this.play)
            this.play.textContent = "Play";
    }

    #key(event) {
        const by = {ArrowLeft: -1, ArrowRight: 1}[event.key];
        if (by === undefined || !this.player || event.altKey || event.ctrlKey || event.metaKey)
            return;
        event.preventDefault();
        this.#stop();
        this.go(this.#at + by);
        say(this.where.textContent);
    }
}

function span({x, step}, to, y) {
    if (step === "answer")
        return "";
    const thin = step === "submit" || step === "leave";
    return svg("rect", {class: `span ${step}`, x, y: thin ? y + MARK / 2 - 1 : y + 4,
                        width: Math.max(0, to - x), height: thin ? 2 : MARK - 8});
}

function hatches() {
    const pattern = name => svg("pattern", {id: `hatch-${name}`, width: 6, height: 6, patternUnits: "userSpaceOnUse",
                                            patternTransform: "rotate(45)"},
        svg("rect", {width: 6, height: 6, class: "hatch-paper"}),
        svg("rect", {width: 2, height: 6, class: `hatch-ink ${name}`}));
    return svg("defs", {}, pattern("read"), pattern("harm"));
}
