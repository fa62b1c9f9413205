/**
 * A new config while everything runs: all of it, or nothing.
 *
 * The new config is checked, compared with the old one, and its new sockets are bound; only then is anything
 * changed. Workers take their new slice in place. When sockets or the number of smtpd change, new smtpd start
 * beside the old ones, and those drain once all of the new are ready. Given-up workers get another chance.
 */
import type { Answer } from '../../shared/bus/messages.ts'
import { printProblems } from '../../shared/config/check.ts'
import type { Slices } from '../../shared/config/slices.ts'
import type { Mcp } from './mcp.ts'
import { BindFailed } from './ports.ts'
import { whyNotReloadable } from './reload.ts'
import { partOf, serverNumber, smtpdNames, webNames } from './roles.ts'

export async function applyReload(mcp: Mcp): Promise<Answer<'reload'>> {
  const { load, log } = mcp.ground
  if (mcp.stopping) return refuse(mcp, 'it is stopping\n')
  const checked = load()
  if (checked.kind === 'bad') return refuse(mcp, printProblems(checked.problems))
  const settled = whyNotReloadable(mcp.slices, checked.slices)
  if (settled.length > 0) return refuse(mcp, `${settled.join('\n')}\n`)
  for (const { message } of checked.warnings) log.warn({ message }, 'config')
  return exchange(mcp, checked.slices)
}

async function exchange(mcp: Mcp, slices: Slices): Promise<Answer<'reload'>> {
  const { ports, logs, log } = mcp.ground
  const plan = await ports.prepare(slices.mcp).catch((error: unknown) => {
    if (error instanceof BindFailed) return error
    throw error
  })
  if (plan instanceof BindFailed) return refuse(mcp, `${plan.message}\n`)
  const replaceSmtpd = plan.changed || countsOf(slices) !== countsOf(mcp.slices)
  const replaceWeb = plan.changed || secureOf(slices) !== secureOf(mcp.slices)
  plan.commit()
  mcp.slices = slices
  mcp.provide()
  mcp.epoch++
  const { severity, channels } = slices.mcp
  log.setSeverity(severity)
  for (const trouble of logs.configure(channels, severity)) log.error({ trouble }, 'log file does not work')
  mcp.overseer.dispatch({ kind: 'rules', rules: slices.mcp })
  mcp.overseer.tellAll('reconfigure', ({ name, role }) =>
    (replaceSmtpd && role === 'smtpd') || (replaceWeb && role === 'web')
      ? null
      : { epoch: mcp.epoch, severity, slice: slices[partOf(name, role)] },
  )
  const next = nextNumber(mcp)
  if (replaceSmtpd) mcp.overseer.dispatch({ kind: 'replace', role: 'smtpd', names: smtpdNames(next, slices) })
  if (replaceWeb) mcp.overseer.dispatch({ kind: 'replace', role: 'web', names: webNames(next, slices) })
  await mcp.validator.use(slices.mcp.validator)
  mcp.overseer.dispatch({ kind: 'revive' })
  log.info({ epoch: mcp.epoch, replaceSmtpd }, 'reloaded')
  return { kind: 'done', epoch: mcp.epoch }
}

/** A server of HTTP is made with TLS or without. */
function secureOf({ mcp }: Slices): string {
  return mcp.web.map(({ secure }) => secure).join(' ')
}

/** Also when a listener has changed its type: it is for other processes now. */
function countsOf(slices: Slices): string {
  return [...smtpdNames(1, slices), ...slices.submission.listeners.map(({ name }) => name)].join(' ')
}

/** Names are not used again while their last bearers drain. */
function nextNumber(mcp: Mcp): number {
  const numbers = mcp.overseer.workers().map(({ name }) => serverNumber(name))
  return Math.max(0, ...numbers) + 1
}

function refuse(mcp: Mcp, problems: string): Answer<'reload'> {
  mcp.ground.log.error({ problems }, 'reload refused, the old config runs on')
  return { kind: 'refused', problems }
}
