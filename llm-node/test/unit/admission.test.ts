// Admission: slots, bounds, fairness.

import assert from "node:assert/strict";
import {setMaxListeners} from "node:events";
import {describe, it} from "node:test";

import {Admission} from "#src/admission.js";
import {Fault} from "#src/fault.js";

const never = new AbortController().signal;
setMaxListeners(0, never);

describe("admission", () => {
    it("gives the people turns, one request each, in the order they came", async () => {
        const admission = new Admission(1, 100, 100);
        const order: string[] = [];
        const holder = admission.enter("holder");
        await holder.turn(never);
        const waiting = ["a1", "a2", "a3", "b1", "c1", "b2"].map((name) => {
            const spot = admission.enter(name.slice(0, 1));
            return spot.turn(never).then(() => {
                order.push(name);
                spot.leave();
            });
        });
        holder.leave();
        await Promise.all(waiting);
        assert.deepEqual(order, ["a1", "b1", "c1", "a2", "b2", "a3"]);
        assert.deepEqual([admission.active, admission.queued], [0, 0]);
    });

    it("never admits more than there are slots", async () => {
        const admission = new Admission(2, 100, 100);
        let most = 0;
        await Promise.all(
            Array.from({length: 20}, async (_, index) => {
                const spot = admission.enter(String(index % 3));
                await spot.turn(never);
                most = Math.max(most, admission.active);
                await new Promise((resolve) => setImmediate(resolve));
                spot.leave();
            }),
        );
        assert.equal(most, 2);
    });

    it("refuses beyond its bounds, in all and for one person", () => {
        const all = new Admission(1, 2, 100);
        for (let index = 0; index < 3; index++) all.enter(String(index));
        assert.throws(() => all.enter("more"), (error) => error instanceof Fault && error.reasonName === "QUEUE_FULL" && error.retryAfterMs !== undefined);
        const own = new Admission(1, 100, 2);
        for (let index = 0; index < 3; index++) own.enter("same");
        assert.throws(() => own.enter("same"), Fault);
        own.enter("other");
    });

    it("takes who leaves out of the line, once", async () => {
        const depths: number[] = [];
        const admission = new Admission(1, 100, 100, (change) => depths.push(change));
        const first = admission.enter("a");
        await first.turn(never);
        const abort = new AbortController();
        const second = admission.enter("b");
        const turn = second.turn(abort.signal);
        abort.abort();
        assert.equal(await turn, false);
        second.leave();
        assert.equal(admission.queued, 0);
        first.leave();
        first.leave();
        assert.equal(depths.reduce((sum, one) => sum + one, 0), 0);
        assert.equal(admission.active, 0);
    });
});
