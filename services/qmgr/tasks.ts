/** Transactions, as they stand in line: what of a message is sent together. Pure. */
import type { Route } from '../../shared/message/route.ts'
import type { Entry, Slot } from './entry.ts'

/** Recipients of one message that share a route. */
export interface Task {
  entry: Entry
  slots: Slot[]
  route: Route
}

/**
 * The transactions that the queued slots of an entry make. Local mailboxes share a destination, not a transaction.
 * @param most recipients of one transaction, by route.
 */
export function tasksOf(entry: Entry, slots: readonly Slot[], most: (route: Route) => number): Task[] {
  const [only] = slots
  if (only?.recipient.route && slots.length === 1)
    return [{ entry, slots: [only], route: only.recipient.route }]
  const groups = new Map<string, { tasks: Task[]; most: number }>()
  for (const slot of slots) {
    const { route } = slot.recipient
    if (!route) continue
    const key = transactionKey(route)
    const group = groups.get(key) ?? { tasks: [], most: most(route) }
    groups.set(key, group)
    const last = group.tasks.at(-1)
    if (last && last.slots.length < group.most) last.slots.push(slot)
    else group.tasks.push({ entry, slots: [slot], route })
  }
  return [...groups.values()].flatMap(({ tasks }) => tasks)
}

function transactionKey(route: Route): string {
  if (route.kind === 'agent' || route.kind === 'discard') return route.destination
  // two zones may ask for different ways to the same hosts
  if (route.kind === 'smtp')
    return `${route.destination} ${route.protocol} ${route.zone} ${route.relay ?? ''} ${route.sender ?? ''}`
  // two zones may share a Maildir, and only one of them encrypt
  const { user: _user, uid: _uid, gid: _gid, home: _home, format, path, ...more } = route.mailbox
  const own = `${route.forward ? ' forward' : ''}${route.delivery ? ` ${JSON.stringify(route.delivery)}` : ''}`
  return `${route.destination} ${format} ${path} ${JSON.stringify(more)}${own}`
}
