/** Addresses, without node:net: it would cost the command line more time to load than the rest of it. */

/** The address as it is usually written, or undefined where the text is none. */
export function canonicalIp(text: string): string | undefined {
  const octets = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1);
  if (octets !== undefined) {
    const good = octets.every((octet) => Number(octet) <= 255 && (octet === "0" || !octet.startsWith("0")));
    return good ? text : undefined;
  }
  if (!/^[\da-fA-F:.]{2,45}$/.test(text) || !text.includes(":")) return undefined;
  try {
    return new URL(`http://[${text}]/`).hostname.slice(1, -1);
  } catch {
    return undefined;
  }
}
