// A slider with its value in figures.
import { Slider as Radix } from "radix-ui";
import { number } from "../lib/format";

/** Chooses a number in a range. */
export function Slider({ label, value, min, max, step, digits, onChange }: { label: string; value: number; min: number; max: number; step: number; digits: number; onChange: (value: number) => void }) {
  return (
    <div className="flex flex-col gap-1.5">
      <div className="flex justify-between text-xs"><span className="text-fg-2">{label}</span><span className="font-code text-fg">{number(value, digits)}</span></div>
      <Radix.Root value={[value]} min={min} max={max} step={step} onValueChange={([next]) => { if (next !== undefined) onChange(next); }} className="relative flex h-5 touch-none items-center">
        <Radix.Track className="relative h-1 grow rounded-full bg-line-2"><Radix.Range className="absolute h-full rounded-full bg-c1" /></Radix.Track>
        <Radix.Thumb aria-label={label} className="block size-3.5 rounded-full border-2 border-line-strong bg-raised" />
      </Radix.Root>
    </div>
  );
}
