// Who may generate now: a few at a time, the others in a bounded queue that is fair between people.

import {Fault} from "./fault.js";
import {Reason} from "./gen/devstudio/errors/v1/reason_pb.js";

const retryAfterMs = 2_000;

interface Waiter {
    spot: Spot;
    admit: () => void;
}

/** Admits up to `slots` at a time; others wait, each person's requests in order, the people in turn. */
export class Admission {
    /** Requests that generate now. */
    active = 0;
    private entered = 0;
    private readonly enteredByUser = new Map<string, number>();
    /** People who wait, longest since their last turn first. */
    private readonly waiting = new Map<string, Waiter[]>();

    constructor(
        private readonly slots: number,
        private readonly bound: number,
        private readonly boundPerUser: number,
        private readonly onDepth: (change: number) => void = () => undefined,
    ) {}

    /** Requests that wait. */
    get queued(): number {
        return Math.max(0, this.entered - this.active);
    }

    /** Takes a place, which must be left again. Throws QUEUE_FULL. */
    enter(userId: string): Spot {
        const own = this.enteredByUser.get(userId) ?? 0;
        const free = this.slots - this.active;
        if (this.queued >= this.bound + Math.max(0, free) || own >= this.boundPerUser + this.slots)
            throw new Fault(Reason.QUEUE_FULL, "too many requests wait for the model").retryAfter(retryAfterMs).with("queued", this.queued);
        this.entered++;
        this.enteredByUser.set(userId, own + 1);
        this.onDepth(1);
        return new Spot(this, userId);
    }

    /** @internal */
    wait(spot: Spot, admit: () => void): void {
        const own = this.waiting.get(spot.userId);
        if (own === undefined) this.waiting.set(spot.userId, [{spot, admit}]);
        else own.push({spot, admit});
        this.next();
    }

    /** @internal */
    leave(spot: Spot, wasAdmitted: boolean): void {
        const own = (this.waiting.get(spot.userId) ?? []).filter((one) => one.spot !== spot);
        if (own.length === 0) this.waiting.delete(spot.userId);
        else this.waiting.set(spot.userId, own);
        const entered = (this.enteredByUser.get(spot.userId) ?? 1) - 1;
        if (entered === 0) this.enteredByUser.delete(spot.userId);
        else this.enteredByUser.set(spot.userId, entered);
        this.entered--;
        if (wasAdmitted) this.active--;
        else this.onDepth(-1);
        this.next();
    }

    private next(): void {
        while (this.active < this.slots) {
            const [userId, own] = this.waiting.entries().next().value ?? [];
            const first = own?.shift();
            if (userId === undefined || own === undefined || first === undefined) return;
            // To the end of the line, behind the others' turns.
            this.waiting.delete(userId);
            if (own.length > 0) this.waiting.set(userId, own);
            this.active++;
            this.onDepth(-1);
            first.admit();
        }
    }
}

/** One request's place. */
export class Spot {
    private state: "entered" | "admitted" | "left" = "entered";

    /** @internal */
    constructor(
        private readonly admission: Admission,
        readonly userId: string,
    ) {}

    /** Waits for its turn; false if the signal came first. */
    turn(signal: AbortSignal): Promise<boolean> {
        return new Promise((resolve) => {
            const give = () => {
                this.leave();
                resolve(false);
            };
            if (signal.aborted) {
                give();
                return;
            }
            signal.addEventListener("abort", give, {once: true});
            this.admission.wait(this, () => {
                this.state = "admitted";
                signal.removeEventListener("abort", give);
                resolve(true);
            });
        });
    }

    /** Gives the place up; later calls do nothing. */
    leave(): void {
        if (this.state === "left") return;
        const wasAdmitted = this.state === "admitted";
        this.state = "left";
        this.admission.leave(this, wasAdmitted);
    }
}
