// Questions to the server. Texts that come back are data: they become text nodes, never markup.

let key = sessionStorage.getItem("key") || "";

export class ServerError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function setKey(value) {
  key = value.trim();
  sessionStorage.setItem("key", key);
}

async function ask(path, options = {}) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  for (let attempt = 0; ; attempt++) {
    let response;
    try {
      response = await fetch(path, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ServerError(0, "the server cannot be reached");
    }
    const answer = await response.json().catch(() => ({}));
    if (response.ok || answer.results) return answer;
    if ((response.status === 503 || response.status === 429) && attempt < 4) {
      const seconds = Math.min(Number(response.headers.get("Retry-After")) || 1, 10);
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000 * (1 + Math.random() / 2)));
      continue;
    }
    throw new ServerError(response.status, answer.error || `the server answered ${response.status}`);
  }
}

export const models = async () => (await ask("/v1/models")).models;

export async function labels(model) {
  const answer = await ask(`/v1/labels?model=${encodeURIComponent(model)}`);
  const own = new Map(answer.labels.map((label) => [label.name, label.threshold]));
  return { version: answer.model_version, own, openSet: answer.open_set_threshold };
}

// Only so many questions at once: the server's other clients want answers too.
const slots = { free: 4, queue: [] };

async function inTurn(work) {
  if (slots.free > 0) slots.free--;
  else await new Promise((resolve) => slots.queue.push(resolve));
  try {
    return await work();
  } finally {
    const next = slots.queue.shift();
    if (next) next();
    else slots.free++;
  }
}

// The tags of one image; options: model, tags, threshold, topK, explain.
export function tagsOf(file, options) {
  const form = new FormData();
  form.append("image", file);
  form.append("model", options.model);
  for (const tag of options.tags || []) form.append("tags", tag);
  if (options.threshold !== undefined) form.append("threshold", options.threshold);
  if (options.topK) form.append("top_k", options.topK);
  if (options.explain) form.append("explain", "true");
  return inTurn(async () => {
    const answer = await ask("/v1/tags", { method: "POST", body: form });
    const [result] = answer.results;
    if (result.error) throw new ServerError(422, result.error);
    return { version: answer.model_version, tags: result.tags };
  });
}
