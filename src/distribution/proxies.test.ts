import { expect, test } from "bun:test";
import { environmentProxies, proxyFor } from "./proxies.ts";

const settings = { http: "proxy:3128", https: "https://secure:3129", none: "" };

test("each scheme has its own proxy", () => {
  expect(proxyFor(new URL("http://r.example/v2/"), settings)).toBe("http://proxy:3128");
  expect(proxyFor(new URL("https://r.example/v2/"), settings)).toBe("https://secure:3129");
  expect(proxyFor(new URL("http://r.example/v2/"), { ...settings, http: "" })).toBeUndefined();
});

const cases: [none: string, url: string, isDirect: boolean][] = [
  ["", "http://localhost:5000/", true],
  ["", "http://127.8.9.1/", true],
  ["", "http://[::1]:5000/", true],
  ["", "http://10.1.2.3/", false],
  ["*", "http://r.example/", true],
  ["example", "http://r.example/", true],
  ["r.example", "http://r.example/", true],
  ["R.Example ", "http://r.example/", true],
  ["xample", "http://r.example/", false],
  [".example", "http://r.example/", true],
  [".r.example", "http://r.example/", false],
  ["*.r.example", "http://r.example/", false],
  ["*.r.example", "http://a.r.example/", true],
  ["other, r.example:5000", "http://r.example:5000/", true],
  ["r.example:5000", "http://r.example/", false],
  ["r.example:80", "http://r.example/", true],
  ["r.example:443", "https://r.example/", true],
  ["10.0.0.0/8", "http://10.1.2.3/", true],
  ["10.0.0.0/8", "http://11.1.2.3/", false],
  ["fd00::/8", "http://[fd12::1]/", true],
  ["10.1.2.3", "http://10.1.2.3:5000/", true],
  ["10.1.2.3:80", "http://10.1.2.3:5000/", false],
  ["[fd12::1]:5000", "http://[fd12::1]:5000/", true],
];
for (const [none, url, isDirect] of cases)
  test(`NO_PROXY="${none}" ${isDirect ? "exempts" : "does not exempt"} ${url}`, () => {
    expect(proxyFor(new URL(url), { ...settings, none }) === undefined).toBe(isDirect);
  });

test("the environment's are taken out of it, and remembered", () => {
  process.env.http_proxy = "http://p:1";
  process.env.NO_PROXY = "a,b";
  expect(environmentProxies()).toEqual({ http: "http://p:1", https: "", none: "a,b" });
  expect(process.env.http_proxy).toBeUndefined();
  expect(environmentProxies().http).toBe("http://p:1");
});
