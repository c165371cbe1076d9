/** A template that cannot be parsed or executed; the message is worded and placed as Go's text/template does it. */
export class TemplateError extends Error {
  override readonly name = "TemplateError";
  constructor(
    message: string,
    /** What had been written when execution failed. */
    readonly output = "",
  ) {
    super(message);
  }
}
