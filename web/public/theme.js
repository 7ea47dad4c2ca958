// Sets theme and language on the root element before the first paint; src/lib/theme.ts takes over from there.
(() => {
  const root = document.documentElement;
  let theme = null;
  let locale = null;
  try {
    theme = localStorage.getItem("devstudio.theme");
    locale = localStorage.getItem("PARAGLIDE_LOCALE");
  } catch {
    // Storage may be switched off; the system's settings decide then.
  }
  if (theme !== "NeonCyberNight" && theme !== "SerialSteel") {
    theme = matchMedia("(prefers-color-scheme: light)").matches ? "SerialSteel" : "NeonCyberNight";
  }
  root.dataset.theme = theme;
  root.lang = locale || (navigator.language.startsWith("de") ? "de" : "en");
  document.querySelector('meta[name="theme-color"]').content = theme === "SerialSteel" ? "#E9ECEF" : "#0B0E17";
})();
