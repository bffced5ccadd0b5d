// Loaded first by Locust's page, which shows the sentence of a refused start only when the answer's status is 200,
// and which goes on asking when its session is over.
(() => {
  const send = window.fetch;
  window.fetch = async (input, init) => {
    const answer = await send(input, init);
    const path = new URL(input.url ?? input, document.baseURI).pathname;
    if (answer.status === 401) window.location.reload();
    if (answer.ok || !path.endsWith("/swarm")) return answer;
    return new Response(answer.body, { status: 200, headers: answer.headers });
  };
})();
