/**
 * Every dialogue file of this folder, once against the session in memory and once against a real smtpd's port.
 */
import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { openStage } from '../system/smtpd-stage.ts'
import { Player } from './player.ts'
import { CLOSE, MORE, matchesLine, readScripts, type Script } from './script.ts'

const scripts = readScripts()

/** One side of a dialogue: says octets, gives the next line of the other side or CLOSE. */
interface Voice {
  say: (octets: Buffer) => Promise<void>
  hear: () => Promise<string>
}

async function perform(script: Script, voice: Voice): Promise<void> {
  let ahead: string | null = null
  for (const [n, turn] of script.turns.entries()) {
    if (turn.who === 'client') {
      await voice.say(turn.octets)
      continue
    }
    for (const expected of turn.lines) {
      let line: string = ahead ?? (await voice.hear())
      ahead = null
      if (MORE.test(expected)) {
        while (line.startsWith(expected.slice(0, 4))) line = await voice.hear()
        ahead = line
        continue
      }
      assert.ok(matchesLine(expected, line), `${script.name}, turn ${n}: wanted "${expected}", got "${line}"`)
    }
  }
}

function playedVoice(script: Script): Voice {
  const player = new Player(script.options)
  let lines: string[] = []
  return {
    say: (octets) => player.write(octets),
    hear: async () => {
      lines = [...lines, ...player.takeOutput().split('\r\n').slice(0, -1)]
      return lines.shift() ?? (player.closed ? CLOSE : '(silence)')
    },
  }
}

function realVoice(socket: Socket): Voice {
  let text = ''
  let ended = false
  let wake: () => void = () => undefined
  socket.setEncoding('latin1')
  socket.on('data', (data) => {
    text += String(data)
    wake()
  })
  socket.on('close', () => {
    ended = true
    wake()
  })
  const hear = async (): Promise<string> => {
    const end = text.indexOf('\r\n')
    if (end >= 0) {
      const line = text.slice(0, end)
      text = text.slice(end + 2)
      return line
    }
    if (ended) return CLOSE
    await new Promise<void>((done) => {
      wake = done
    })
    return hear()
  }
  return { say: async (octets) => void socket.write(octets), hear }
}

test('there are dialogues', () => assert.ok(scripts.length >= 10))

for (const script of scripts) {
  test(`${script.name}, in memory`, { timeout: 30_000 }, () => perform(script, playedVoice(script)))

  test(`${script.name}, on a port`, { timeout: 60_000 }, async (t) => {
    const stage = await openStage(script.options)
    t.after(stage.close)
    const socket = connect(stage.port, '127.0.0.1')
    t.after(() => void socket.destroy())
    await perform(script, realVoice(socket))
  })
}
