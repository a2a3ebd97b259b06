// Building the page. Text from a run only ever becomes a text node.
"use strict";
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("aria-")) { element.setAttribute(name, value); continue; }
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "vars") for (const [key, one] of Object.entries(value)) element.style.setProperty(`--${key}`, one);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Characters that would not be seen, or that turn the text around, as something that is.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\u{e0000}-\u{e007f}]/gu;
function visible(text) {
  return text.replace(/\r\n/g, "\n").replace(HIDDEN, (character) => {
    const code = character.codePointAt(0);
    if (code < 32) return String.fromCodePoint(0x2400 + code);
    return code === 127 ? "\u2421" : `[U+${code.toString(16).toUpperCase().padStart(4, "0")}]`;
  });
}

const oneLine = (text, length) => visible(text.slice(0, 4 * length).replace(/\s+/g, " ").trim().slice(0, length));

function number(value, digits = 2) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const text = Math.abs(value) >= 1e5 ? value.toExponential(2) : value.toFixed(digits);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
}
const signed = (value, digits = 2) => {
  const text = number(value, digits);
  return value > 0 && Number(text) !== 0 ? `+${text}` : text;
};
const count = (value) => value.toLocaleString("en-US");
const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

// Names for narrow places, without a first part that all of them share: `instructions/no_comma/1` is `no_comma/1`.
const shortNames = (names) => {
  const parts = new Set(names.map((name) => name.split("/", 1)[0])), cut = [...parts][0]?.length + 1;
  return names.length > 1 && parts.size === 1 && names.every((name) => name.length > cut) ? names.map((name) => name.slice(cut)) : names;
};

// A name that may be broken between its parts, by zero-width spaces.
const breakable = (name) => name.replace(/[:_/.]/g, "$&\u200b");

// Okabe and Ito's colors, which color-blind people can tell apart; dashes once they are used up.
const PALETTE = { light: ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#56b4e9", "#555555"],
  dark: ["#56b4e9", "#ff8c42", "#2fc99a", "#e39ac6", "#f0e442", "#7aa6ff", "#bbbbbb"] };
const isDark = () => document.documentElement.dataset.theme === "dark"
  || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
const colorOf = (index) => PALETTE[isDark() ? "dark" : "light"][index % PALETTE.light.length];
const dashOf = (index) => [[], [6, 4], [2, 3]][Math.floor(index / PALETTE.light.length) % 3];
const cssColor = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// Blue above zero, orange below; `strength` is 0 to 1. The number stands on it in either theme.
const heat = (value, full = 2) => {
  const strength = Math.min(Math.abs(value) / full, 1);
  return `color-mix(in oklab, var(${value >= 0 ? "--above" : "--below"}) ${Math.round(strength * 78)}%, transparent)`;
};
