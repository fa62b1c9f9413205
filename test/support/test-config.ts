/**
 * The config of most system tests: a listener of each kind on a free port, local users at local.example, everything
 * at relay.example to a sink of the test, quick retries. What a test wants otherwise goes into `more` and `options`.
 */
import type { Paths } from './posthorn.ts'

export interface Wishes {
  /** Where relay.example goes; absent: there is no such zone. */
  relayPort?: number
  /** Statements inside `options`. */
  options?: string
  /** Statements inside `qmgr`. */
  qmgr?: string
  /** Statements inside `processes`. */
  processes?: string
  /** Statements inside listener mx. */
  mx?: string
  /** Statements inside listener local. */
  local?: string
  /** Whole statements. */
  more?: string
  severity?: 'debug' | 'info' | 'warn' | 'error'
}

export function testConfig(paths: Paths, wishes: Wishes = {}): string {
  const relay =
    wishes.relayPort === undefined
      ? ''
      : `zone "relay.example" { type relay; hosts { "127.0.0.1" port ${wishes.relayPort}; }; };`
  return `
options {
  hostname "mx.posthorn.example";
  directory "${paths.spool}";
  run-directory "${paths.run}";
  ${wishes.options ?? ''}
};
listener "mx" { address 127.0.0.1; port 0; ${wishes.mx ?? ''} };
listener "submission" { type submission; address 127.0.0.1; port 0; relay { localhost; }; };
listener "local" { socket "${paths.submit}"; ${wishes.local ?? ''} };
zone "local.example" { type local; mailboxes "${paths.users}"; };
${relay}
qmgr { ${wishes.qmgr ?? 'retry 200ms;'} };
processes { ${wishes.processes ?? ''} };
logging { channel "main" { stderr; severity ${wishes.severity ?? 'info'}; }; };
${wishes.more ?? ''}
`
}
