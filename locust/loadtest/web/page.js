// Loaded first by Locust's page, which shows the message of a refused start only when the response has status 200,
// and which keeps polling after its session has expired.
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
