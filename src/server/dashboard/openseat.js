// Keeps a page true that the server has written: asks for it again when something has changed, and makes ages of its moments.
'use strict';

(() => {
  const page = document.querySelector('main[data-watch]');
  if (!page) return;

  const PERIOD = [5000, 7000]; // ms, by chance between these; a poll that changes no decision is not told, but what it saw is shown
  const SPREAD = 250; // ms within which a change is asked for, so that all who are told of it do not come at once
  const REST = 300; // ms between two requests, whatever happens
  const state = document.querySelector('.live');
  const words = state.querySelector('.words');

  // --- ages --------------------------------------------------------------------------------------------------------

  // The server's clock as it answered, and when it was asked: no age comes out too young. Until then the page has moments.
  let clock = null;

  // Two clocks, as in the daemon: one stands still while the machine sleeps, people move the other. The longer time counts.
  function now() {
    return { steady: performance.now(), wall: Date.now() };
  }

  function since(then) {
    const { steady, wall } = now();
    return Math.max(steady - then.steady, wall - then.wall, 0);
  }

  function span(ms) {
    const s = Math.floor(ms / 1000);
    const two = (n, unit, m, part) => (m ? `${n} ${unit} ${m} ${part}` : `${n} ${unit}`);
    const part = (of, by) => Math.floor(s % of / by);
    if (s < 60) return `${s} s`;
    if (s < 3600) return two(part(3600, 60), 'min', s % 60, 's');
    if (s < 86400) return two(part(86400, 3600), 'h', part(3600, 60), 'min');
    return two(Math.floor(s / 86400), 'd', part(86400, 3600), 'h');
  }

  function count() {
    if (!clock) return;
    const present = clock.server + since(clock.asked);
    const past = (ms) => Math.max(present - Number(ms), 0);
    for (const time of page.querySelectorAll('time[data-since]')) {
      const { since: ms, before = '', after = '' } = time.dataset;
      put(time, before + span(past(ms)) + after);
    }
    for (const time of page.querySelectorAll('time[data-at]')) {
      const age = past(time.dataset.at);
      const left = Math.max(Number(time.dataset.until ?? 0) - present, 0);
      const near = left < (age + left) / 4;
      put(time.querySelector('.span'), `${span(age)} old`);
      put(time.querySelector('.note'), !left ? 'too old to answer from' : near ? `usable for ${span(left)}` : '');
      time.className = !left ? 'age old' : near ? 'age near' : 'age';
    }
  }

  function put(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  // --- the page, again -----------------------------------------------------------------------------------------------

  let asking = false;
  let wanted = false;
  let soon = null;
  let tag = null; // of the page as it was last sent

  const between = (least, most) => least + Math.random() * (most - least);

  // What is told in the same moment is asked for once.
  function told() {
    soon ??= setTimeout(() => {
      soon = null;
      renew();
    }, between(0, SPREAD));
  }

  async function renew() {
    wanted = true;
    if (asking) return;
    asking = true;
    while (wanted && !document.hidden) {
      wanted = false;
      const begun = performance.now();
      try {
        await read();
      } catch {
        lost();
      }
      // A large page on a slow line leaves the line free nine times out of ten.
      await new Promise((done) => setTimeout(done, Math.max(REST, 9 * (performance.now() - begun))));
    }
    asking = false;
  }

  async function read() {
    const asked = now();
    const headers = { Accept: 'text/html' };
    if (tag) headers['If-None-Match'] = tag;
    // Without what somebody asked about another rule: that is answered once.
    const answer = await fetch(page.dataset.page ?? location.href, { headers, cache: 'no-store' });
    if (answer.redirected) return location.reload(); // to the form: the session has ended
    if (answer.status === 503) return say('slow', 'openseat is busy: this page is out of date');
    if (answer.status !== 304) await take(answer);
    clock = { server: Number(answer.headers.get('openseat-now')), asked };
    count();
    if (source?.readyState === EventSource.OPEN) say('on', 'Live');
    else if (source?.readyState === EventSource.CLOSED) say('slow', 'Renewed every few seconds');
  }

  async function take(answer) {
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const main = fresh.querySelector('main[data-watch]');
    if (!main) throw new Error('not the page');
    document.title = fresh.title;
    become(page, main);
    tag = answer.headers.get('etag');
  }

  // Makes one tree like another and leaves alone what is the same already, so that focus and selection stay where they are.
  function become(old, fresh) {
    if (old.hasAttribute?.('data-keep')) return; // asked for once
    if (old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
    if (old.nodeType === Node.TEXT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    // What somebody has opened or closed stays so.
    const theirs = (name) => name === 'open';
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !theirs(name)) old.removeAttribute(name);
    for (const { name, value } of [...fresh.attributes]) {
      if (old.getAttribute(name) !== value && !theirs(name)) old.setAttribute(name, value);
    }
    const [olds, freshes] = [[...old.childNodes], [...fresh.childNodes]];
    freshes.forEach((child, n) => (olds[n] ? become(olds[n], child) : old.append(child)));
    olds.slice(freshes.length).forEach((child) => child.remove());
  }

  // --- who tells of changes ---------------------------------------------------------------------------------------------

  let source = null;

  function listen() {
    source?.close();
    source = new EventSource(page.dataset.watch);
    source.addEventListener('snapshot', told);
    source.addEventListener('decision', told);
    source.onopen = renew;
    source.onerror = broken;
  }

  // The browser comes back by itself, unless it was refused. Then the page is asked for now and then, and so is the stream.
  function broken() {
    lost();
    renew();
  }

  function lost() {
    say('lost', 'Connection lost: this page is out of date');
  }

  function say(kind, text) {
    state.className = `live ${kind}`;
    put(words, text);
  }

  // A page that nobody sees asks nothing; browsers open few connections to one server, and the visible ones need them.
  function look() {
    if (document.hidden) {
      source?.close();
    } else {
      listen();
      renew();
    }
  }

  setInterval(count, 1000);
  (function again() {
    setTimeout(() => {
      again();
      if (document.hidden) return;
      if (source?.readyState === EventSource.CLOSED) listen();
      renew();
    }, between(...PERIOD));
  })();
  document.addEventListener('visibilitychange', look);
  look();
})();
