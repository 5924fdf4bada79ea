import { maxTextLength } from './grammar.ts';

/**
 * Quotes a text of anybody's in a sentence: cut, and with every character escaped that is not seen or that steers a
 * terminal, which JSON does for the first 32 only.
 * @param length characters that are quoted at most; those of a label value if not given
 */
export function quote(text: string, length = maxTextLength): string {
  const cut = text.length > length ? `${text.slice(0, length)}…` : text;
  return JSON.stringify(cut).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, escaped);
}

function escaped(character: string): string {
  return Array.from({ length: character.length }, (_, index) => {
    const hex = character.charCodeAt(index).toString(16);
    return `\\u${hex.padStart(4, '0')}`;
  }).join('');
}
