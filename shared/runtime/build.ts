/** Which build this is: peers of another one are refused by name, see `bus/hub.ts`. */
import packageFile from '../../package.json' with { type: 'json' }

export const BUILD: string = packageFile.version
