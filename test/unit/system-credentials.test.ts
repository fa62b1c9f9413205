/** The kernel's word about peers, and locks that end with their holder, against real sockets and files. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { peerCredentials, systemProbe } from '../../shared/system/credentials.ts'
import { lockFile } from '../../shared/system/lock.ts'

const TIMEOUT = 30_000

function scratch(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'posthorn-system-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

async function accepted(server: Server): Promise<Socket> {
  const [socket] = (await once(server, 'connection')) as [Socket]
  return socket
}

test('a unix peer is who the kernel says it is', { timeout: TIMEOUT }, async () => {
  const directory = scratch()
  const server = createServer().listen(join(directory.path, 'a.sock'))
  await once(server, 'listening')
  const arriving = accepted(server)
  const script = `require('net').connect(${JSON.stringify(join(directory.path, 'a.sock'))}).resume()`
  const child = spawn(process.execPath, ['-e', script], { stdio: 'ignore' })
  const socket = await arriving
  assert.deepEqual(peerCredentials(socket), {
    pid: child.pid,
    uid: process.getuid?.(),
    gid: process.getgid?.(),
  })
  socket.destroy()
  assert.equal(peerCredentials(socket), null, 'a socket that is gone proves nothing')
  await once(child, 'exit')
  server.close()
  directory.remove()
})

test('a TCP peer has no credentials', { timeout: TIMEOUT }, async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const arriving = accepted(server)
  const client = connect((server.address() as { port: number }).port, '127.0.0.1')
  const socket = await arriving
  assert.equal(peerCredentials(socket), null)
  client.destroy()
  socket.destroy()
  server.close()
})

test('nothing is missing on this platform', { skip: process.platform !== 'linux' }, () => {
  assert.deepEqual(systemProbe(), [])
})

test('a lock excludes others until its descriptor closes', { skip: process.platform !== 'linux' }, () => {
  const directory = scratch()
  const file = join(directory.path, 'lock')
  const first = openSync(file, 'a')
  const second = openSync(file, 'a')
  assert.equal(lockFile(first), 'locked')
  assert.equal(lockFile(second), 'held-by-other')
  closeSync(first)
  assert.equal(lockFile(second), 'locked')
  closeSync(second)
  directory.remove()
})

test('a descriptor that is none is not mistaken for a lock', () => {
  assert.equal(lockFile(1_000_000), 'unknown')
})
