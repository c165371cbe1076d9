/** Many clients that download one blob at once: `bun bench/load-clients.ts HOST:PORT PATH CLIENTS`. Prints bytes a second. */
const [host = "", path = "", clients = "1"] = process.argv.slice(2);
const [hostname = "", port = ""] = host.split(":");
const request = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;

/** Bytes that came until the server closed, head and all. */
function download(): Promise<number> {
  return new Promise((resolve, reject) => {
    let bytes = 0;
    Bun.connect({
      hostname,
      port: Number(port),
      socket: {
        open: (socket) => void socket.write(request),
        data: (_, chunk) => void (bytes += chunk.length),
        close: () => resolve(bytes),
        error: (_, error) => reject(error),
      },
    }).catch(reject);
  });
}

const begun = performance.now();
const bytes = await Promise.all(Array.from({ length: Number(clients) }, download));
const seconds = (performance.now() - begun) / 1000;
if (new Set(bytes).size !== 1) throw new Error(`answers of several lengths: ${[...new Set(bytes)].join(" ")}`);
console.log((bytes[0]! * bytes.length) / seconds);

export {};
