// The command lines that let the load tester do what a run of the laboratory does, through the network.

const SHARED = ["stock", "coupon", "points", "reservation", "order"]; // with mutex, all of these or none

// Of each hazard: what the load tester calls the operation, the amounts, and whose strategies it needs.
const BUY = {nouns: ["stock"], flags: ({buyers, units}) => ["--requests", buyers, "--stock", units]};
const OPERATIONS = {
    "two-draws": {nouns: ["lottery"], flags: ({buyers, units}) =>
        ["--scenario draw --users", Math.ceil(buyers / 2), "--tries 2 --blank 0 --prizes", `cup:${units}:1`]},
    "too-many-coupons": {nouns: ["coupon"], flags: ({buyers, units}) =>
        ["--scenario coupon --users", buyers, "--tries 1 --total", units]},
    "opposite-order": {nouns: ["points"], flags: ({buyers}) =>
        ["--scenario points --accounts 2 --mix transfer=1 --balance 1000 --requests", buyers]},
    "late-confirm": {nouns: ["stock", "reservation"], flags: ({buyers, units}) =>
        ["--scenario reserve --then return=1 --ttl 1s --requests", buyers, "--stock", units]},
    "refunded-twice": {nouns: SHARED, flags: ({buyers}) =>
        ["--scenario checkout --accounts 10 --refund 60% --requests", buyers]},
};

// What the load tester does not do, or does otherwise.
function note({lock, think_ms, sleep_ms, instances}) {
    return [
        lock !== "none" && "A lock at the wrong place exists in the laboratory only. These lines run the strategy as it is.",
        instances > 1 && "SQLite is for one instance. To see two, start a second service on the same MySQL or MariaDB.",
        (think_ms > 0 || sleep_ms > 0) && "Through the network no worker pauses between reading and saving, so fewer requests meet.",
    ].filter(Boolean).join(" ");
}

export function loadLines(scenario, settings) {
    const {strategy, workers, combine, belts, fence, duplicates, seed} = settings;
    const {nouns, flags} = OPERATIONS[scenario] ?? BUY;
    const changed = strategy === "mutex" && nouns[0] !== "lottery" ? SHARED : nouns;
    return {
        serve: [`./dev run --store sqlite:/tmp/holdfast-lab${belts ? "" : "-no-belts"}.db --lab`, !belts && "--lab.belts=off",
                !combine && "--combine.max_batch=1", !fence && "--lock.fence=off", `--workers=${workers}`,
                ...changed.map(noun => `--${noun}.strategy=${strategy}`)].filter(Boolean).join(" \\\n    "),
        load: ["./dev load --arrival latch", ...flags(settings), duplicates > 0 && "--duplicate 100%", "--seed", seed]
            .filter(word => word !== false).join(" "),
        note: note(settings),
    };
}
