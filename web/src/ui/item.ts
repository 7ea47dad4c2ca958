// How an entry of a menu or list of choices looks.
export const itemClass = "flex min-h-8 cursor-pointer items-center gap-2.5 rounded-ctl px-2.5 text-sm text-fg-2 outline-none select-none data-[disabled]:cursor-not-allowed data-[disabled]:text-fg-3 data-[highlighted]:bg-hover data-[highlighted]:text-fg max-tab:min-h-10";
