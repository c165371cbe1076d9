/**
 * A client in whichever network namespace it is started in. Prints one number.
 *
 *   requests ADDRESS PORT SECONDS   connections a second, each with a line sent and one received, 16 at once
 *   bytes ADDRESS PORT SECONDS      megabytes a second that it receives
 */
const [what, hostname = "", port = "", seconds = ""] = process.argv.slice(2);
const address = { hostname, port: Number(port) };
const until = performance.now() + Number(seconds) * 1000;
const begun = performance.now();
let done = 0;

async function request(): Promise<void> {
  const closed = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    ...address,
    socket: {
      data: () => void done++,
      // The server ends it: ports of the client are free again at once.
      end: (connection) => void connection.end(),
      close: () => closed.resolve(),
      error: (_, error) => closed.reject(error),
    },
  });
  socket.write("hello\n");
  await closed.promise;
}

async function receive(): Promise<void> {
  const closed = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    ...address,
    socket: {
      data: (connection, bytes) => {
        done += bytes.length;
        if (performance.now() > until) connection.terminate();
      },
      close: () => closed.resolve(),
    },
  });
  socket.write("more\n");
  await closed.promise;
}

async function requests(): Promise<void> {
  while (performance.now() < until) await request();
}

if (what === "bytes") await receive();
else await Promise.all(Array.from({ length: 16 }, requests));
const perSecond = done / ((performance.now() - begun) / 1000);
console.log(what === "bytes" ? perSecond / 1e6 : perSecond);

export {};
