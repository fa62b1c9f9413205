/** `posthorn account …`: what the user has accounts for, whether the file is right, and msmtp's file as ours. */
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { printProblems } from '../../shared/config/problem.ts'
import { parseMailbox } from '../../shared/smtp/address.ts'
import { type Exit, exits, Trouble } from '../posthorn/trouble.ts'
import type { Call } from '../posthorn/words.ts'
import type { Account, Accounts } from './account.ts'
import { importMsmtp } from './msmtp.ts'
import { renderAccountOptions } from './options.ts'
import { findPlaces } from './places.ts'
import { readAccounts } from './read.ts'

type Print = (text: string) => void

export async function account(call: Call, print: Print): Promise<Exit> {
  switch (call.command) {
    case 'account options':
      print(renderAccountOptions())
      return exits.ok
    case 'account import':
      print(importMsmtp(readMsmtp(call.operands[0])))
      return exits.ok
    case 'account find':
      print(await find(call.operands[0] ?? '', call.values['name-server']))
      return exits.ok
    case 'account check':
      return check(call.operands[0], print)
    default:
      print(renderAccounts(requireAccounts().accounts))
      return exits.ok
  }
}

async function find(address: string, server: string | undefined): Promise<string> {
  const parsed = parseMailbox(address, { utf8: true })
  const domain = parsed.ok ? parsed.address.domain : ''
  if (!domain || domain.startsWith('['))
    throw new Trouble(exits.usage, `${address} is no address in a domain`)
  const { findSubmission, renderFound } = await import('./discovery.ts')
  const found = await findSubmission(domain, server === undefined ? [] : [server]).catch((error: unknown) => {
    const why = error instanceof Error ? error.message : String(error)
    throw new Trouble(exits.temporary, `${domain} cannot be looked up: ${why}`)
  })
  if (found.kind === 'found') return renderFound(address, domain, found.services)
  const why = found.kind === 'refused' ? 'says that it takes no mail of its users this way' : 'says nothing'
  throw new Trouble(exits.missing, `${domain} ${why}: no SRV record for submission`)
}

function readMsmtp(file = join(homedir(), '.msmtprc')): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new Trouble(exits.usage, `cannot read ${file} (${code})`)
  }
}

/** The accounts, or all that is wrong with the file. */
export function requireAccounts(): Accounts {
  const read = readAccounts(findPlaces().config)
  if (read.kind === 'bad') throw new Trouble(exits.bad, `\n${printProblems(read.problems)}`)
  return read.accounts
}

async function check(name: string | undefined, print: Print): Promise<Exit> {
  const { config } = findPlaces()
  const { accounts } = requireAccounts()
  if (name === undefined) {
    print(`${config}: good, ${accounts.length} account${accounts.length === 1 ? '' : 's'}\n`)
    return exits.ok
  }
  const found = accounts.find((one) => one.name === name)
  if (!found) throw new Trouble(exits.missing, `there is no account ${name}`)
  await logInTo(found)
  print(`${name}: ${found.host} lets ${found.user ?? 'us'} in\n`)
  return exits.ok
}

async function logInTo(account: Account): Promise<void> {
  const [{ tryAccount, replyOf }, { refuseCoreDumps }] = await Promise.all([
    import('../agent/provider.ts'),
    import('../../shared/system/core-dumps.ts'),
  ])
  refuseCoreDumps()
  await tryAccount(account).catch((error: unknown) => {
    const { code, enhanced, text } = replyOf(error, account)
    throw new Trouble(exits.unavailable, `${account.name}: ${code} ${enhanced} ${text}`)
  })
}

function renderAccounts(accounts: readonly Account[]): string {
  return accounts
    .map((one) => {
      const senders = [...one.from, ...(one.isDefault ? ['everybody else'] : [])].join(', ')
      const facts = [
        one.confirm.when === 'never' ? '' : `asks ${one.confirm.when}`,
        one.outbox ? 'outbox' : '',
      ]
      const more = facts.filter((fact) => fact !== '').map((fact) => `, ${fact}`)
      return `${one.name}: ${one.host} port ${one.port}, ${one.protocol}, tls ${one.tls}${more.join('')}; for ${senders || 'nobody'}\n`
    })
    .join('')
}
