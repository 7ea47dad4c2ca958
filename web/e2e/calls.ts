// Calls of the server's methods without a browser, as a program makes them.

/** What a call gave: the status, and the JSON of the answer or of the error. */
export interface Reply { status: number; json: Record<string, unknown> }

/** Calls a method with an access token or an API key; without a credential as nobody. */
export async function call(url: string, method: string, params: object, credential = ""): Promise<Reply> {
  const headers = { "content-type": "application/json", ...(credential ? { authorization: `Bearer ${credential}` } : {}) };
  const response = await fetch(`${url}/rpc/${method}`, { method: "POST", headers, body: JSON.stringify(params) });
  return { status: response.status, json: (await response.json()) as Record<string, unknown> };
}

/** The reason of an error, such as KEY_REVOKED; empty where there is none. */
export const reasonOf = ({ json }: Reply): string => (json["error"] as { data?: { reason?: string } } | undefined)?.data?.reason ?? "";

/** Signs in and gives the access token. */
export async function tokenOf(url: string, email: string, password: string): Promise<string> {
  const { status, json } = await call(url, "user.login", { email, password });
  if (status !== 200) throw new Error(`signing in ${email} failed: ${JSON.stringify(json)}`);
  return String(json["accessToken"]);
}
