/**
 * How often a socket is read. Each read costs some 10 us, however little it brings: a client whose packets have one octet
 * each would make its message cost thirty times as much as an ordinary one. So after some such reads in a row a short
 * pause follows each, and the kernel gathers what comes meanwhile.
 *
 * Who sends whole command lines or fair pieces of content is never kept waiting, and nobody longer than PAUSE_MS for
 * each read. Over TLS each packet costs its sender as much as us, so nothing is done there.
 */

/** Reads with less are counted, one with at least ENOUGH ends it. */
const FEW = 16
const ENOUGH = 1024
const PATIENT_READS = 8
const PAUSE_MS = 20
const LF = 10

export interface Paced {
  readonly destroyed: boolean
  pause: () => unknown
  resume: () => unknown
}

export class Pace {
  readonly #socket: Paced
  #few = 0

  constructor(socket: Paced) {
    this.#socket = socket
  }

  /**
   * After each read of which all has been looked at.
   *
   * @param receiving in the middle of content.
   * @param mayGoOn whether reading may go on after a pause.
   */
  took(octets: Buffer, receiving: boolean, mayGoOn: () => boolean): void {
    const { length } = octets
    if (length >= ENOUGH || (!receiving && octets[length - 1] === LF)) this.#few = 0
    else if (length < FEW) this.#few++
    if (this.#few <= PATIENT_READS) return
    const socket = this.#socket
    socket.pause()
    setTimeout(() => {
      if (!socket.destroyed && mayGoOn()) socket.resume()
    }, PAUSE_MS)
  }
}
