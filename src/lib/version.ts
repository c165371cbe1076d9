/** Which Brig this is; the build fills it in (tools/build.ts). */
declare const BRIG_VERSION: string | undefined;
declare const BRIG_COMMIT: string | undefined;
declare const BRIG_BUILD_TIME: string | undefined;

export const version = typeof BRIG_VERSION === "string" ? BRIG_VERSION : "0.0.0-dev";
/** Seven digits of the commit's hash. */
export const gitCommit = typeof BRIG_COMMIT === "string" ? BRIG_COMMIT : "unknown";
/** RFC 3339. */
export const buildTime = typeof BRIG_BUILD_TIME === "string" ? BRIG_BUILD_TIME : "1970-01-01T00:00:00.000Z";
