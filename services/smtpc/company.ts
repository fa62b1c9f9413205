/**
 * Connections to the destinations of one group (all customers of one provider): together no more than qmgr says,
 * those included that wait for work and those that are being dialled. qmgr bounds how many are at work; so where
 * there are too many, idle ones leave, the oldest first. They serve another list of hosts: one to the same would have
 * been used.
 */
import type { ConnectionTerms } from '../../shared/message/connection-terms.ts'
import type { Connection } from './connection.ts'

/** Absent: as usual. */
export type Terms = ConnectionTerms | undefined

interface Company {
  open: Set<Connection>
  dialling: number
}

/** Of one connection to be. */
export interface Place {
  free: () => void
}

export class Companies {
  readonly #companies = new Map<string, Company>()
  readonly #members = new Map<Connection, string>()
  readonly #dismiss: (connection: Connection) => void

  /** @param dismiss an idle connection has to leave. */
  constructor(dismiss: (connection: Connection) => void) {
    this.#dismiss = dismiss
  }

  /** Null where nothing is to be kept to. */
  reserve(terms: Terms): Place | null {
    if (!terms) return null
    const { group, most } = terms
    const company = this.#of(group)
    company.dialling++
    for (const connection of company.open) {
      if (company.open.size + company.dialling <= most) break
      if (!connection.idle) continue
      this.left(connection)
      this.#dismiss(connection)
    }
    return { free: () => this.#freed(group, company) }
  }

  joined(connection: Connection): void {
    if (!connection.terms) return
    const { group } = connection.terms
    this.#of(group).open.add(connection)
    this.#members.set(connection, group)
  }

  left(connection: Connection): void {
    const group = this.#members.get(connection)
    if (group === undefined) return
    this.#members.delete(connection)
    this.#companies.get(group)?.open.delete(connection)
    this.#forget(group)
  }

  /** Whether a connection that has nothing to do should not stay. */
  isCrowded(connection: Connection): boolean {
    const company = connection.terms && this.#companies.get(connection.terms.group)
    if (!company || !connection.terms) return false
    return company.open.size + company.dialling > connection.terms.most
  }

  #of(group: string): Company {
    const company = this.#companies.get(group) ?? { open: new Set(), dialling: 0 }
    this.#companies.set(group, company)
    return company
  }

  #freed(group: string, company: Company): void {
    company.dialling--
    if (this.#companies.get(group) === company) this.#forget(group)
  }

  #forget(group: string): void {
    const company = this.#companies.get(group)
    if (company && company.open.size === 0 && company.dialling === 0) this.#companies.delete(group)
  }
}
