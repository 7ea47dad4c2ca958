// Sends what is too large for a message: PUT /upload, with how far it is, and a cancel.
import { faultOf, isStale, StreamFault, type EdgeError } from "./errors";
import { refreshSession, useSession } from "./session";

/** What was uploaded; its hash is its name. */
export interface Uploaded { sha256: string; sizeBytes: number }
interface Options { signal: AbortSignal; onProgress?: (sentBytes: number) => void }

/** Uploads a file; where the token ended meanwhile, once more with a new one. */
export async function upload(content: Blob, options: Options): Promise<Uploaded> {
  try {
    return await put(content, options);
  } catch (cause) {
    if (!isStale(cause) || !(await refreshSession())) throw cause;
    return put(content, options);
  }
}

// Only XMLHttpRequest tells how much of a request's body has gone out.
function put(content: Blob, { signal, onProgress }: Options): Promise<Uploaded> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const request = new XMLHttpRequest();
    const cancel = () => request.abort();
    signal.addEventListener("abort", cancel, { once: true });
    request.open("PUT", "/upload");
    request.setRequestHeader("authorization", `Bearer ${useSession.getState().accessToken}`);
    request.setRequestHeader("content-type", "application/octet-stream");
    request.upload.onprogress = ({ loaded }) => onProgress?.(loaded);
    request.onloadend = () => signal.removeEventListener("abort", cancel);
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    request.onerror = () => reject(new StreamFault("UNREACHABLE", "no answer", "", 503, {}));
    request.onload = () => {
      if (request.status === 200) {
        const { sha256, sizeBytes } = JSON.parse(request.responseText) as { sha256: string; sizeBytes: string };
        return resolve({ sha256, sizeBytes: Number(sizeBytes) });
      }
      reject(refusalOf(request));
    };
    request.send(content);
  });
}

function refusalOf(request: XMLHttpRequest): StreamFault {
  let error: EdgeError | undefined;
  try {
    ({ error } = JSON.parse(request.responseText) as { error?: EdgeError });
  } catch {
    // A proxy in between answers with a page of its own.
  }
  return faultOf(error ?? {}, { reason: request.status === 413 ? "BODY_TOO_LARGE" : "INTERNAL", message: `HTTP ${request.status}`, requestId: request.getResponseHeader("x-request-id") ?? "", status: request.status });
}
