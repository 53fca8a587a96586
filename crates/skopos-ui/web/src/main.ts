// The start: preferences first, so that nothing is painted in the wrong theme; then the address; then the page.
import { mount } from 'svelte';
import './app.css';
import App from './App.svelte';
import { nav } from './lib/nav.svelte';
import { prefs } from './lib/prefs.svelte';

prefs.apply();
nav.start();
mount(App, { target: document.getElementById('app')! });
