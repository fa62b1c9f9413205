/** The replies to what a load has sent, without a promise for each: they are counted where they arrive. */
import type { Socket } from 'node:net'

/** Resolves when a reply with each code has come, in order; rejects with the first that has another. */
export function hear(socket: Socket, codes: readonly number[]): Promise<void> {
  return new Promise((done, fail) => {
    let partial = ''
    let heard = 0
    const end = (error: Error | null) => {
      socket.off('data', take).off('close', lost)
      if (error) fail(error)
      else done()
    }
    const lost = () => end(new Error(`the connection was lost after ${heard} of ${codes.length} replies`))
    const take = (data: Buffer) => {
      const lines = (partial + data.toString('latin1')).split('\r\n')
      partial = lines.pop() ?? ''
      for (const line of lines) {
        if (line[3] === '-') continue
        const code = codes[heard++]
        if (Number(line.slice(0, 3)) !== code) return end(new Error(`${line}, and ${code} was wanted`))
      }
      if (heard === codes.length) end(null)
    }
    socket.on('data', take).once('close', lost)
  })
}
