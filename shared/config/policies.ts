/** Policies: from their sections to what smtpd and qmgr are told, with the places for those who ask why. */
import type { Facts } from './facts.ts'
import type { policyBlock } from './options.ts'
import type { PolicySlice } from './policy-slice.ts'
import type { Problems } from './problem.ts'
import { checkNames } from './rules.ts'
import { type Config, placeOf, type Section } from './schema.ts'
import type { Quota } from './slices.ts'
import { formatPlace } from './source.ts'

type Policy = Section<typeof policyBlock>

export function buildPolicies({ policy }: Config, facts: Facts, problems: Problems): PolicySlice[] {
  checkNames(policy, 'policy', problems)
  return policy.map((one) => buildPolicy(one, facts, problems))
}

function buildPolicy(policy: Policy, { accounts }: Facts, problems: Problems): PolicySlice {
  const { name, values } = policy
  warnOfStrangers(policy, accounts, problems)
  if (values.deny && values.trusted)
    problems.error(placeOf(policy, 'deny'), 'who is trusted cannot be denied', 'choose one of them')
  return {
    name,
    place: formatPlace(policy.at),
    users: values.users,
    groups: values.groups,
    senders: patterns(policy, 'senders'),
    from: patterns(policy, 'from'),
    trusted: values.trusted,
    deny: values.deny,
    messageSizeLimit: values['message-size-limit'],
    recipientLimit: values['recipient-limit'],
    account: values.account,
  }
}

/** They may come yet, so it is no error; who has no account file has nobody to compare with. */
function warnOfStrangers(policy: Policy, accounts: Facts['accounts'], problems: Problems): void {
  if (!accounts.user('root')) return
  const { users, groups } = policy.values
  for (const user of users) {
    if (typeof user === 'string' && !user.includes('@') && !accounts.user(user))
      problems.warn(placeOf(policy, 'users'), `there is no user \`${user}\` on this machine`)
  }
  for (const group of groups) {
    if (accounts.group(group) === null)
      problems.warn(placeOf(policy, 'groups'), `there is no group \`${group}\` on this machine`)
  }
}

function patterns(policy: Policy, option: 'senders' | 'from'): PolicySlice['senders'] {
  const given = policy.values[option]
  return given && { patterns: given, place: formatPlace(placeOf(policy, option)) }
}

/** What qmgr counts; a policy without a limit is not among them. */
export function buildPolicyLimits({ policy }: Config): Record<string, Quota[]> {
  return Object.fromEntries(
    policy.flatMap(({ name, values }) => (values.limit ? [[name, values.limit]] : [])),
  )
}
