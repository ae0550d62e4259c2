// The lottery's wheel. Each slice is as large as its chance. It only shows what the server has drawn.
import {svg} from "/web/dom.mjs";

const TURN_MS = 2400;
const HATCHES = ["M 0 4 H 8 M 4 0 V 8", "M 0 4 H 8", "M 2 2 h 3 v 3 h -3 z", "M 0 0 L 8 8 M 8 0 L 0 8"];

// The slices of a lottery: {name, from, to} in parts of 1. A prize that is gone is added to the blank, as the
// server does it.
export function slices(lottery) {
    const prizes = lottery.prizes.filter(prize => prize.remaining > 0);
    const gone = lottery.prizes.filter(prize => prize.remaining === 0);
    const weights = prizes.map(prize => [prize.prize, prize.weight]);
    weights.push([null, gone.reduce((sum, prize) => sum + prize.weight, lottery.blank_weight)]);
    const all = weights.reduce((sum, [, weight]) => sum + weight, 0);
    let from = 0;
    return weights.filter(([, weight]) => weight > 0).map(([name, weight]) => {
        const slice = {name, from, to: from + weight / all};
        from = slice.to;
        return slice;
    });
}

// How a slice is filled: a pattern for each prize, none for the blank.
function filled(lottery, name) {
    const at = lottery.prizes.findIndex(prize => prize.prize === name);
    return {class: "slice", fill: at < 0 ? "none" : `url(#hatch-${at % HATCHES.length})`};
}

// Draws the wheel into the node. Returns a function that turns it to a result (a prize's name, or null) and resolves
// when it stands still.
export function drawWheel(node, lottery) {
    const shown = slices(lottery);
    const disc = svg("g", {});
    for (const slice of shown)
        disc.append(svg("path", {d: sector(slice), ...filled(lottery, slice.name)}));
    disc.append(svg("circle", {r: 8, class: "hub"}));
    node.replaceChildren(svg("svg", {viewBox: "-104 -112 208 220", class: "disc", "aria-hidden": "true"},
        hatches(), disc, svg("path", {d: "M -8 -110 L 8 -110 L 0 -90 Z", class: "pointer"})));
    let angle = 0;
    return async name => {
        const slice = shown.find(candidate => candidate.name === name) ?? shown.at(-1);
        const part = slice.from + (slice.to - slice.from) * (.2 + .6 * Math.random());
        const next = angle - angle % 360 + 4 * 360 - part * 360;
        if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
            const turn = [`rotate(${angle}deg)`, `rotate(${next}deg)`];
            await disc.animate({transform: turn}, {duration: TURN_MS, easing: "cubic-bezier(.2, .7, .2, 1)"}).finished;
        }
        disc.setAttribute("transform", `rotate(${next})`);
        angle = next;
    };
}

// The sample beside a prize's name.
export function sample(lottery, name) {
    return svg("svg", {viewBox: "0 0 20 20", class: "sample", "aria-hidden": "true"},
        svg("rect", {x: 1, y: 1, width: 18, height: 18, ...filled(lottery, name)}));
}

// From the top, clockwise.
function sector({from, to}) {
    if (to - from > .9999)
        return "M 0 -100 A 100 100 0 1 1 0 100 A 100 100 0 1 1 0 -100 Z";
    const point = part => `${100 * Math.sin(2 * Math.PI * part)} ${-100 * Math.cos(2 * Math.PI * part)}`;
    return `M 0 0 L ${point(from)} A 100 100 0 ${to - from > .5 ? 1 : 0} 1 ${point(to)} Z`;
}

function hatches() {
    return svg("defs", {}, HATCHES.map((d, n) => svg("pattern",
        {id: `hatch-${n}`, width: 8, height: 8, patternUnits: "userSpaceOnUse", patternTransform: "rotate(30)"},
        svg("rect", {width: 8, height: 8, class: "ground"}), svg("path", {d, class: "line"}))));
}
