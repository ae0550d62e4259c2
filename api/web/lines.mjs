// The command lines that do with the load tester what a run of the laboratory does.

const STOCK = ["stock", "coupon", "points", "reservation", "order"];

// What the load tester calls the operation, and the flags that set the amounts.
const OPERATIONS = {
    "two-draws": ({buyers, units}) => `--scenario draw --users ${Math.ceil(buyers / 2)} --tries 2 --prizes gold:${units}:1 --blank 0`,
    "too-many-coupons": ({buyers, units}) => `--scenario coupon --users ${buyers} --tries 1 --total ${units}`,
    "opposite-order": ({buyers}) => `--scenario points --accounts 2 --mix transfer=1 --balance 1000 --requests ${buyers}`,
    "late-confirm": ({buyers, units}) => `--scenario reserve --stock ${units} --ttl 1s --then return=1 --requests ${buyers}`,
    "refunded-twice": ({buyers}) => `--scenario checkout --accounts 10 --refund 60% --requests ${buyers}`,
};

export function loadLines(scenario, settings) {
    const {strategy, buyers, units, think_ms, workers, combine, belts, fence, duplicates, seed} = settings;
    const operation = OPERATIONS[scenario]?.(settings) ?? `--requests ${buyers} --stock ${units}`;
    return {
        serve: ["./dev run --store sqlite:/tmp/holdfast-lab.db --lab", !belts && "--lab.belts=off", !combine && "--combine.max_batch=1",
                !fence && "--lock.fence=off", ...STOCK.map(noun => `--${noun}.strategy=${strategy}`), `--lottery.strategy=${strategy}`,
                `--workers=${workers}`].filter(Boolean).join(" "),
        load: ["./dev load --arrival latch", operation, duplicates > 0 && `--duplicate ${duplicates}%`, `--seed ${seed}`]
            .filter(Boolean).join(" "),
        note: think_ms > 0 ? "The load tester’s requests do not think between reading and saving, so fewer of them meet." : "",
    };
}
