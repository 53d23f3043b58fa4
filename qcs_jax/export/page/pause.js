const SLICE = 24; // milliseconds of work between two chances for the page to answer

let since = performance.now();

/**
 * Lets the page paint and answer, if it has not been able to for a while.
 *
 * @param {AbortSignal} [signal] Of work that may have become useless.
 * @throws {DOMException} An `AbortError`, if it has.
 */
export async function breathe(signal) {
  if (performance.now() - since > SLICE) {
    await new Promise((resume) => setTimeout(resume));
    since = performance.now();
  }
  signal?.throwIfAborted();
}
