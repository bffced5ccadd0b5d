// The work of the HTTP comparisons for k6; BENCH_WORK chooses it.
import { check } from "k6";
import http from "k6/http";

const base = __ENV.BENCH_URL;
const token = `t-${__VU}`;

function fetched(response) {
  check(response, { "has an id": (r) => r.json("id") === 1 });
  return response.json("id");
}

function journey() {
  const headers = { Authorization: `Bearer ${token}` };
  const json = { headers: { ...headers, "Content-Type": "application/json" } };
  const id = fetched(http.post(`${base}/small`, JSON.stringify({ name: token }), json));
  fetched(http.get(`${base}/varying?id=${id}`, { headers, tags: { name: "look" } }));
  fetched(http.get(`${base}/varying?next=${id}`, { headers, tags: { name: "next" } }));
  fetched(http.post(`${base}/small`, JSON.stringify({ id: id, value: 2.5 }), json));
  fetched(http.get(`${base}/small`, { headers }));
}

const works = { small: () => http.get(`${base}/small`), varying: () => http.get(`${base}/varying`), journey };

export default works[__ENV.BENCH_WORK];
