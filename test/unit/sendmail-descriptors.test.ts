/** Which descriptors are the caller's, of what /proc lists. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inherited } from '../../commands/sendmail/descriptors.ts'

const one = (fd: number, target: string, writes = false) => ({ fd, target, writes })

test('files and sockets are the caller’s, what only Node makes is not', () => {
  const open = [
    one(0, '/dev/null'),
    one(1, 'pipe:[1]', true),
    one(2, '/var/log/x', true),
    one(3, 'anon_inode:[eventpoll]'),
    one(4, 'pipe:[7]'),
    one(5, 'pipe:[7]', true),
    one(6, 'anon_inode:[eventfd]'),
    one(7, '/var/lib/web.db'),
    one(8, 'socket:[9]'),
    one(9, '/dev/null'),
    one(10, '/proc/12/fd'),
    one(40, '/var/lock/job (deleted)', true),
  ]
  assert.deepEqual(inherited(open), [7, 8, 40])
})

test('of pipes, whatever is not both ends of one', () => {
  const open = [
    one(3, 'pipe:[1]'),
    one(4, 'pipe:[2]', true),
    one(5, 'pipe:[3]', true),
    one(6, 'pipe:[3]', true),
    one(7, 'pipe:[4]'),
    one(8, 'pipe:[4]', true),
    one(9, 'pipe:[4]', true),
  ]
  assert.deepEqual(inherited(open), [3, 4, 5, 6, 7, 8, 9])
})
