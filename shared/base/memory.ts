/**
 * Resident memory of this process, in octets. Node reads it from a file of /proc and throws when it can open none
 * (EMFILE, ENFILE): a figure is not worth a process, so the last one known is given then, 0 if there was none.
 */
let last = 0

export function residentMemory(): number {
  try {
    last = process.memoryUsage.rss()
  } catch {
    // out of descriptors: who accepts and opens files says so
  }
  return last
}
