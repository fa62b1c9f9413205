/**
 * A map in a text file: read again when it changes. A new state with bad lines is not taken while there is an older
 * one; each bad line is in the log as `file:line`. Fails: as `shared/config/map-text.ts` says.
 */
import type { Log } from '../../../shared/base/log.ts'
import type { ParsedFile } from '../../../shared/config/map-file.ts'
import type { TextMapKind } from '../../../shared/config/map-slices.ts'
import { parseMapText, type TextMap } from '../../../shared/config/map-text.ts'
import { WatchedFile } from '../watched-file.ts'
import { found, type MapSource, MISSING, trouble } from './answer.ts'

export function openTextMap(kind: TextMapKind, path: string, log: Log): MapSource {
  const parse = (text: string): ParsedFile<TextMap> => {
    const read = parseMapText(kind, text)
    const old = file.value
    if (!old || read.faults.length === 0) return read
    log.error({ file: path, faults: read.faults.length }, 'map file has bad lines: its old content is kept')
    return { value: old, faults: read.faults }
  }
  const file = new WatchedFile(path, parse, log)
  return {
    wholeKeys: kind !== 'hash',
    look: (now) => {
      file.look(now)
      return file.version
    },
    lookUp: (key) => {
      if (!file.value) return trouble(`${path} cannot be read`)
      const entry = file.value.find(key)
      if (entry === 'faulty') return trouble(`${path} has bad lines`)
      return entry ? found(entry.value) : MISSING
    },
    close: () => undefined,
  }
}
