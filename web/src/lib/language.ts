// The interface's language; the root is keyed by it, so a change needs no reload.
import { create } from "zustand";
import { getLocale, setLocale } from "../paraglide/runtime";

export type Language = "de" | "en";
export const languages: Record<Language, string> = { de: "Deutsch", en: "English" };

export const useLanguage = create<{ language: Language }>(() => ({ language: getLocale() }));

/** Changes the language of the interface. */
export function setLanguage(language: Language): void {
  void setLocale(language, { reload: false });
  document.documentElement.lang = language;
  useLanguage.setState({ language });
}
