// Two texts side by side: the words that only one of them has are marked.
import {el} from "./dom.mjs";

// Fills two elements. What is marked also stands in brackets and is underlined, for those who do not see colours.
export function showDifference(left, right, before, after) {
    const [a, b] = [before, after].map(text => text.match(/\s+|:?\w+|[^\s\w]+/g) ?? []);
    const same = common(a, b);
    left.replaceChildren(...marked(a, same.map(([i]) => i)));
    right.replaceChildren(...marked(b, same.map(([, j]) => j)));
}

// The longest common subsequence: pairs of places.
function common(a, b) {
    const length = Array.from({length: a.length + 1}, () => new Array(b.length + 1).fill(0));
    for (let i = a.length - 1; i >= 0; i--)
        for (let j = b.length - 1; j >= 0; j--)
            length[i][j] = a[i] === b[j] ? length[i + 1][j + 1] + 1 : Math.max(length[i + 1][j], length[i][j + 1]);
    const pairs = [];
    for (let i = 0, j = 0; i < a.length && j < b.length;)
        if (a[i] === b[j])
            pairs.push([i++, j++]);
        else if (length[i + 1][j] >= length[i][j + 1])
            i++;
        else
            j++;
    return pairs;
}

// The words as nodes; a stretch of words that are not among `same` is one mark.
function marked(words, same) {
    const known = new Set(same);
    const nodes = [];
    for (let i = 0; i < words.length;) {
        let end = i + 1;
        const isGap = at => /^\s+$/.test(words[at]) && at + 1 < words.length && !known.has(at + 1);
        while (end < words.length && (known.has(end) === known.has(i) || (!known.has(i) && isGap(end))))
            end++;
        const text = words.slice(i, end).join("");
        if (known.has(i) || text.trim() === "")
            nodes.push(text);
        else
            nodes.push(text.match(/^\s*/)[0], el("mark", {}, `[${text.trim()}]`), text.match(/\s*$/)[0]);
        i = end;
    }
    return nodes;
}
