/** Which route a request is for. However many routes there are, a request costs at most four look-ups. */
import { invalidParameter } from "../lib/errors.ts";
import type { Exchange } from "./exchange.ts";
import { minorOf, newestMinor } from "./versions.ts";

export type Handler = (exchange: Exchange) => void | Promise<void>;

export interface Route {
  method: "GET" | "HEAD" | "POST" | "PUT" | "DELETE";
  /** Either fixed (`/containers/json`) or with one `{name}` in second place, which may hold slashes. */
  path: string;
  handle: Handler;
  /** Takes the connection over where the client asks for an upgrade. */
  hijacks?: true;
}

/** A request that has a route. */
export interface Match {
  route: Route;
  /** What stands for `{name}`, decoded; empty on fixed paths. */
  name: string;
  /** Minor number of the API version that the client speaks. */
  minor: number;
}

const versionPrefix = /^\/v([0-9][0-9.]*)(?=\/)/;
/** The longest tail that follows a name is `/attach/ws`. */
const maxTailSegments = 2;

export class Router {
  /** By method and path. */
  readonly #fixed = new Map<string, Route>();
  /** By method, first segment and what follows the name. */
  readonly #named = new Map<string, Route>();

  constructor(routes: readonly Route[]) {
    for (const route of routes) {
      const open = route.path.indexOf("{");
      if (open < 0) this.#fixed.set(`${route.method} ${route.path}`, route);
      else {
        const first = route.path.slice(0, open - 1);
        this.#named.set(`${route.method} ${first} ${route.path.slice(route.path.indexOf("}") + 1)}`, route);
      }
    }
  }

  /**
   * The route for `path`, which has no query. Undefined where there is none. Throws invalidParameter for a version
   * that is not served and for a path that is not UTF-8.
   */
  match(method: string, path: string): Match | undefined {
    let minor = newestMinor;
    let rest = path;
    const version = versionPrefix.exec(path);
    if (version) {
      minor = minorOf(version[1]!);
      rest = path.slice(version[0].length);
    }
    const fixed = this.#fixed.get(`${method} ${rest}`);
    if (fixed) return { route: fixed, name: "", minor };
    const second = rest.indexOf("/", 1);
    if (second < 0) return undefined;
    const prefix = `${method} ${rest.slice(0, second)} `;
    const starts = [rest.length];
    while (starts.length <= maxTailSegments) {
      const start = rest.lastIndexOf("/", starts[0]! - 1);
      if (start <= second) break;
      starts.unshift(start);
    }
    for (const start of starts) {
      const route = this.#named.get(prefix + rest.slice(start));
      if (route && start > second + 1) return { route, name: decode(rest.slice(second + 1, start)), minor };
    }
    return undefined;
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalidParameter(`invalid URL escape in ${JSON.stringify(text)}`);
  }
}
